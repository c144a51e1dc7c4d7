"""Text cells: characters that are one or two cells wide, lines that cross, colors, ASCII."""

from __future__ import annotations

import unicodedata

BACKWARD = "\x1b[38;5;208m"
PLAIN = "\x1b[0m"
ASCII = str.maketrans(
    {
        "─": "-", "━": "=", "┄": ".", "▶": ">", "◀": "<", "│": "|", "┬": "+", "├": "+", "└": "+",
        "┌": "+", "┘": "+", "┐": "+", "┤": "+", "┼": "+", "┿": "+", "×": "*", "÷": "/", "−": "-",
        "Σ": "S", "σ": "sigmoid", "‖": "|", "∞": "inf", "√": "sqrt", "Π": "prod", "∂": "d",
        "≤": "<=", "≥": ">=", "≠": "!=", "·": ".", "…": "~", "–": "-", "²": "^2", "³": "^3",
        "→": "->", "▁": "_", "▂": "_", "▃": "-", "▄": "-", "▅": "=", "▆": "=", "▇": "#", "█": "#",
        "∅": "empty", "▸": "+", "▾": "-",
    }
)  # fmt: skip


def to_ascii(text: str) -> str:
    """The text in ASCII, symbols written out."""
    return text.translate(ASCII).encode("ascii", "replace").decode()


def only_ascii(encoding: str | None) -> bool:
    """Whether an output of this encoding cannot carry the characters of a picture.

    Example:
        >>> only_ascii("utf-8"), only_ascii("cp1252")
        (False, True)
    """
    try:
        "─━┄▶◀│┘×".encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return True
    return False


def cells(text: str, ambiguous: int = 1) -> int:
    """How many cells a text takes where characters of ambiguous width take `ambiguous` cells.

    Example:
        >>> cells("苹果"), cells("×─▶"), cells("×─▶", 2)
        (4, 3, 6)
    """
    widths = {"W": 2, "F": 2, "A": ambiguous}
    return sum(
        0 if unicodedata.combining(c) else widths.get(unicodedata.east_asian_width(c), 1)
        for c in text
    )


class Canvas:
    """A grid of cells; `width` is that of a character of ambiguous width, such as ─."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows: list[dict[int, tuple[str, bool]]] = []

    def put(self, row: int, x: int, text: str, backward: bool = False) -> None:
        """Write a text over what is there."""
        while len(self.rows) <= row:
            self.rows.append({})
        for c in text:
            self.rows[row][x] = (c, backward)
            for rest in range(x + 1, x + cells(c, self.width)):
                self.rows[row][rest] = ("", backward)  # taken by a character of two cells
            x += cells(c, self.width)

    def at(self, row: int, x: int) -> str:
        """What stands in a cell; the empty text for nothing."""
        return self.rows[row].get(x, ("", False))[0] if row < len(self.rows) else ""

    def free(self, row: int, x: int) -> bool:
        """Whether a character of ambiguous width can be written there over nothing."""
        taken = self.rows[row] if row < len(self.rows) else {}
        return not any(at in taken for at in range(x, x + self.width))

    def across(self, row: int, x0: int, x1: int, c: str, backward: bool = False) -> None:
        """A horizontal line where nothing is written yet; it crosses what is vertical."""
        for x in range(x0, x1, self.width):
            old = self.at(row, x)
            if old == "│":
                self.put(row, x, "┿" if c == "━" else "┼")
            elif self.free(row, x):
                self.put(row, x, c, backward)

    def down(self, row0: int, row1: int, x: int) -> None:
        """A vertical line between two rows, both left out; it crosses what is horizontal."""
        for row in range(min(row0, row1) + 1, max(row0, row1)):
            old = self.at(row, x)
            self.put(row, x, {"─": "┼", "━": "┿", "┄": "┼"}.get(old, "│"))

    def lines(self, color: bool, ascii: bool) -> list[str]:
        """The rows as text."""
        found = []
        for row in self.rows:
            text, x, on = "", 0, False
            for at in sorted(row):
                c, backward = row[at]
                if not c:
                    continue
                if color and backward != on:
                    text += PLAIN if on else BACKWARD
                    on = backward
                text += " " * (at - x) + (to_ascii(c) if ascii else c)
                x = at + cells(c, self.width)
            found.append((text + PLAIN * on).rstrip())
        return found
