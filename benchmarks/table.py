"""The one table that a run of the benchmarks prints."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.timing import Timing

HEADINGS = ("", "median", "minimum", "÷ float32", "÷ float64", "cores", "")
UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: what was timed.
        timing: how long it took.
        parts: by how many to divide, for one step of a chunk.
        baselines: what to compare with: the textbook's code in float32 and in float64.
        note: what shows that it computed what it should.
    """

    name: str
    timing: Timing
    parts: int = 1
    baselines: tuple[Timing, Timing] | None = None
    note: str = ""

    def cells(self) -> list[str]:
        """The texts of the columns."""
        ratios = [f"{self.timing.ratio(b):.2f}" for b in self.baselines or ()] or ["", ""]
        times = [seconds(f(self.timing.wall) / self.parts) for f in (median, min)]
        cores = f"{self.timing.cores:.2f}" if self.timing.cpu else ""
        return [self.name, *times, *ratios, cores, self.note]


def seconds(value: float) -> str:
    """A time with three digits in the unit that suits it.

    Example:
        >>> seconds(0.000417), seconds(12.34)
        ('417 µs', '12.3 s')
    """
    name, unit = next((u for u in UNITS if value >= u[1]), UNITS[-1])
    return f"{value / unit:#.3g}".removesuffix(".") + f" {name}"


def table(sections: Mapping[str, Sequence[Row]]) -> str:
    """The rows below the titles of their sections, in columns."""
    lines = {title: [row.cells() for row in rows] for title, rows in sections.items()}
    empty = [""] * (len(HEADINGS) - 1)
    every = [list(HEADINGS)]
    for title, rows in lines.items():
        every += [["", *empty], [title, *empty], *rows]
    return aligned(every)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Lines of cells in columns: the first one to the left, numbers to the right, then a note.

    A row with nothing but its first cell is a title, which may be longer than the column.

    Example:
        >>> print(aligned([["", "time", ""], ["a long title", "", ""], ["it", "1.5 s", "fast"]]))
             time
        a long title
        it  1.5 s  fast
    """
    lines = [cells for cells in rows if any(cells[1:])]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *numbers, note = cells
        middle = "  ".join(f"{n:>{w}}" for n, w in zip(numbers, widths[1:-1], strict=True))
        return f"{first:<{widths[0]}}  {middle}  {note}".rstrip()

    return "\n".join(line(cells) for cells in rows)


def machine() -> str:
    """The processor, the system and the interpreter: without them a time says nothing."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{processor()}, {platform.system()}, {python}"


def processor() -> str:
    """What the processor calls itself, where the system tells."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
