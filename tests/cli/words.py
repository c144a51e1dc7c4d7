"""The command line called in this process, where a test needs many calls."""

from __future__ import annotations

import contextlib
import io

from commands import Outcome
from tarograd.cli import main


def call(*words: object) -> Outcome:
    """How `tarograd` with these words ends, and what it shows."""
    out, err = io.StringIO(), io.StringIO()
    code = -1
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return Outcome(code, out.getvalue(), err.getvalue())


def refusal(*words: object) -> str:
    """The one line with which wrong usage ends; nothing else is shown."""
    outcome = call(*words)
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("tarograd: ")
    assert outcome.err.count("\n") == 1
    assert outcome.err.endswith("\n")
    assert outcome.err.strip().isprintable()
    return outcome.err.removeprefix("tarograd: ").strip()
