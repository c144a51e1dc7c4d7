"""`python -m tarograd` is the command `tarograd`."""

from tarograd.cli import main

main()
