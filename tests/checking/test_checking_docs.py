"""What docs/checking.md shows is what happens, and every cause is in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "checking.md").read_text(encoding="utf-8")
NAMES = """
scale-batch scale sign transposed flipped shifted layout shape wrong-axis missing-term extra-term
overwrites accumulates stale-cache mutates-input mutates-upstream mutates-parameter
random-in-backward mask ties wrong-tensor formula zero upstream-ignored slice downcast
nonfinite-forward nonfinite-backward scale-dependent nondeterministic unclassified
"""


def test_the_example_prints_what_is_shown() -> None:
    code, shown = re.findall(r"```(?:python|text)\n(.*?)```", TEXT, flags=re.S)[:2]
    words = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == shown


def test_every_cause_is_explained_and_no_other() -> None:
    table = TEXT.partition("## What the causes mean")[2]
    first = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`([a-z-]+)`", "".join(first))) == sorted(NAMES.split())


def test_every_cause_that_the_checker_gives_is_one_of_them() -> None:
    sources = (ROOT / "src" / "tarograd" / "checking").glob("*.py")
    texts = "".join(path.read_text(encoding="utf-8") for path in sources)
    given = re.findall(r'(?:Cause|found)\(\s*"([a-z-]+)"', texts)
    assert len(set(given)) > 15
    assert set(given) <= set(NAMES.split())
