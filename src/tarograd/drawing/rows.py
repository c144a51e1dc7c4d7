"""Where a long row of columns is broken, like a line of text."""

from __future__ import annotations

ROW = 1400.0  # pixels; a longer row is broken in its second half
SLACK = 1.25  # but one that is only a little longer stays whole


def starts(widths: list[float], gaps: list[float], across: list[int], indent: float) -> set[int]:
    """The columns with which new rows begin.

    Args:
        widths: of the columns.
        gaps: the room behind each.
        across: how many lines lead from each to the next; few do where a row ends.
        indent: where a row begins.

    Example:
        >>> sorted(starts([400.0] * 5, [0.0] * 5, [2, 1, 2, 2, 0], 0.0))
        [2]
    """
    found: set[int] = set()
    lefts: list[float] = []
    first, rank, x = 0, 0, indent
    while rank < len(widths):
        if rank > first and widths[rank] > 0 and x + widths[rank] > ROW:
            best = rank
            for at in range(rank - 1, first, -1):
                if lefts[at] < ROW / 2:
                    break
                if across[at - 1] < across[best - 1]:
                    best = at
            found.add(best)
            first, rank, x = best, best, indent
        lefts[rank:] = [x]
        x += widths[rank] + gaps[rank]
        rank += 1
    return found
