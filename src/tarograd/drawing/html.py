"""The interactive page: one file that works offline and asks nothing of anybody.

The scripts and styles are real files in `viewer/`; here they are put into the page, under a content
security policy that names them by their hashes and allows nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape
from importlib.resources import files
from typing import Any

from tarograd.drawing.arrange import Arrangement, Level
from tarograd.drawing.labels import Label, Labels, Side, name_text
from tarograd.drawing.place import size_of
from tarograd.drawing.trace import Trace

SCRIPTS = (
    "place.js", "scene.js", "calculus.js", "model.js", "steps.js", "stage.js", "inspector.js",
    "outline.js", "page.js",
)  # fmt: skip
LANGUAGES = ("en", "zh-CN", "ja")
# Imports and exports, for the scripts become one; comments and types, which are for readers.
DROPPED = re.compile(r"(?m)^import .*\n|^export (?=\w)|^ *//.*\n|(?s:/\*\*.*?\*/) ?\n?")
MOST = 3000  # operations in a page


def page(trace: Trace, levels: Arrangement, language: str | None = None) -> str:
    """The page.

    Args:
        trace: what is shown.
        levels: its arrangement.
        language: `en`, `zh-CN` or `ja`; by default as the reader's browser prefers.
    """
    if language not in (None, *LANGUAGES):
        raise ValueError(f"language={language!r}: there are {', '.join(LANGUAGES)}")
    viewer = files("tarograd.drawing") / "viewer"
    parts = [(viewer / name).read_text(encoding="utf-8") for name in SCRIPTS]
    modules = (DROPPED.sub("", part) for part in parts)
    script = '"use strict";\n' + "\n".join(modules)
    style = (viewer / "page.css").read_text(encoding="utf-8")
    words = {name: json.loads((viewer / f"{name}.json").read_text("utf-8")) for name in LANGUAGES}
    data = payload(trace, levels) | {"words": words, "language": language}
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        f'<!DOCTYPE html>\n<html lang="{language or "en"}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(name_text(trace.title))}</title>\n<style>{style}</style>\n</head>\n"
        '<body>\n<main id="app"></main>\n'
        f'<script type="application/json" id="data">{text}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def payload(trace: Trace, levels: Arrangement) -> dict[str, Any]:
    """The trace, with its arrangement, the sizes of all items and what is written beside lines."""
    if len(trace.nodes) > MOST:
        raise ValueError(
            f"a page of {len(trace.nodes)} operations would be slow, {MOST} are the most: draw a "
            "part of the computation, or save it as .svg, which stays folded"
        )
    labels, table = Labels(trace), _Table()
    return {
        "trace": trace.json(),
        "levels": [_level(g.id, levels[g.id], labels, table) for g in trace.groups],
        "labels": table.labels,
        "open": sorted(trace.open_groups()),
        "most": trace.most,
    }


def _level(group: int, level: Level, labels: Labels, table: _Table) -> dict[str, Any]:
    """An arrangement with the sizes of its items, each group among them closed."""
    items = []
    for item in level.items:
        size = size_of(group, level, item, None, labels)
        items.append(
            {
                "kind": item.kind,
                "ref": item.ref,
                "ports": item.ports,
                "outputs": item.outputs,
                "target": item.target,
                "rank": item.rank,
                "size": [size.width, size.height, size.up, size.down],
                "at": [size.ports, size.outputs],
                "labels": [table.place(label) for label in size.labels],
            }
        )
    return {
        "items": items,
        "links": [[k.value, k.start, k.output, k.end, k.port, k.flows] for k in level.links],
        "columns": level.columns,
        "branching": sorted(level.branching),
        "flowing": sorted(level.flowing),
    }


class _Table:
    """The labels of a page, by number."""

    def __init__(self) -> None:
        self.labels: list[dict[str, Any]] = []

    def place(self, label: Label | None) -> int | None:
        """The number of a label."""
        if label is None:
            return None
        self.labels.append(
            {
                "width": label.width,
                "up": label.up,
                "down": label.down,
                "above": _side(label.above),
                "below": _side(label.below),
            }
        )
        return len(self.labels) - 1


def _side(side: Side | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return {
        "lines": side.lines,
        "full": side.full,
        "image": side.image,
        "histogram": side.histogram,
        "finite": side.finite,
        "height": side.height,
    }
