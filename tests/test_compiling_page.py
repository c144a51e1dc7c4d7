"""docs/compiling.md: its programs print what the page shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "compiling.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)
(_, STEP), (_, LOSS), (_, SOURCE), (_, REPORT), (_, STAGES), (_, SHOWN) = BLOCKS


def printed(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, encoding="utf-8"
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_step_has_the_source_that_the_page_shows() -> None:
    out = printed(f"{STEP}\nprint(step.source())\nprint(step.report())")
    loss, rest = out.split("\n", 1)
    assert abs(float(loss) - float(LOSS)) <= 0.02
    assert SOURCE in rest
    heads = {line.split(None, 1)[0] for line in REPORT.splitlines()}
    assert heads <= {line.split(None, 1)[0] for line in rest.splitlines() if line}


def test_the_stages_are_those_of_the_page() -> None:
    assert printed(STAGES) == SHOWN


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert len(links) > 8
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


@pytest.mark.parametrize("block", [STEP, STAGES], ids=["step", "stages"])
def test_lines_are_short(block: str) -> None:
    assert max(map(len, block.splitlines())) <= 100
