"""The command line: `tarograd train`, `check`, `predict`, `graph`."""

from tarograd.cli.main import main as main
