"""The interactive page: one file that works offline and asks nothing of anybody.

The scripts and styles are real files in `viewer/`; here they are put into the page, under a content
security policy that names them by their hashes and allows nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from tarograd.drawing.arrange import Arrangement, Level
from tarograd.drawing.labels import Label, Labels, Side, name_text
from tarograd.drawing.place import size_of
from tarograd.drawing.trace import Trace
from tarograd.drawing.words import describe

SCRIPTS = (
    "place.js", "scene.js", "calculus.js", "model.js", "steps.js", "stage.js", "inspector.js",
    "outline.js", "page.js",
)  # fmt: skip
LANGUAGES = ("en", "zh-CN", "ja")
MOST = 10_000  # operations in a page
STILL = 60_000  # characters of the image for browsers without scripts; a larger one is told
CONNECTS = "; connect-src 'self'"
# Imports and exports, for the scripts become one; comments and types, which are for readers.
DROPPED = re.compile(r"(?m)^import .*\n|^export (?=\w)|^ *//.*\n|(?s:/\*\*.*?\*/) ?\n?")
VIEWER = files("tarograd.drawing") / "viewer"


def page(
    trace: Trace, levels: Arrangement, svg: Callable[[], str], language: str | None = None
) -> str:
    """The page.

    Args:
        trace: what is shown.
        levels: its arrangement.
        svg: gives the picture as it stands where no scripts run.
        language: `en`, `zh-CN` or `ja`; by default as the reader's browser prefers.
    """
    if language not in (None, *LANGUAGES):
        raise ValueError(f"language={language!r}: there are {', '.join(LANGUAGES)}")
    words = {name: {k: w for k, w in said.items() if k != "run"} for name, said in words_of()}
    data = payload(trace, levels) | {"words": words, "language": language}
    said = {name: words[name]["still"] for name in words if language in (None, name)}
    still = told(said) + image(svg(), describe(trace))
    title = name_text(trace.title)
    return document(title, SCRIPTS, ("page.css",), json_text(data), language, still=still)


def told(said: dict[str, str]) -> str:
    """A sentence in several languages, as HTML."""
    return "".join(f'<p lang="{name}">{escape(text)}</p>' for name, text in said.items())


def image(svg: str, description: str) -> str:
    """The picture as an image, whose styles no policy of a page forbids; a large one in words."""
    if len(svg) > STILL:
        return f"<p>{escape(description)}</p>"
    address = svg.strip().replace("%", "%25").replace("#", "%23").replace("&", "&amp;")
    address = address.replace("'", "&#x27;")
    return f"<img alt=\"{escape(description)}\" src='data:image/svg+xml;charset=utf-8,{address}'>"


def words_of() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each language and what the pages say in it."""
    for name in LANGUAGES:
        yield name, json.loads((VIEWER / f"{name}.json").read_text("utf-8"))


def json_text(data: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends one, or a line."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def document(
    title: str,
    scripts: Sequence[str],
    styles: Sequence[str],
    data: str,
    language: str | None = None,
    connects: bool = False,
    still: str = "",
) -> str:
    """One HTML file with everything in it.

    Args:
        title: of the window.
        scripts: the files of `viewer/` that it runs, imported ones first.
        styles: its style sheets.
        data: the JSON that the scripts read, from `json_text`.
        language: of the words before a script has chosen.
        connects: whether it may ask the server that it came from for news.
        still: HTML for a browser that runs no scripts.
    """
    parts = [(VIEWER / name).read_text(encoding="utf-8") for name in scripts]
    modules = (DROPPED.sub("", part) for part in parts)
    script = '"use strict";\n' + "\n".join(modules)
    style = "".join((VIEWER / name).read_text(encoding="utf-8") for name in styles)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}';"
        f" img-src data:; base-uri 'none'; form-action 'none'{CONNECTS * connects}"
    )
    return (
        f'<!DOCTYPE html>\n<html lang="{language or "en"}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'  # else a browser asks the server for one
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n"
        '<body>\n<main id="app"></main>\n'
        f"<noscript>{still}</noscript>\n"
        f'<script type="application/json" id="data">{data}</script>\n'
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
    labels: list[Label] = []
    table = Labels(trace)
    rows = [level_json(g.id, levels[g.id], table, labels) for g in trace.groups]
    made = [label_json(label) for label in labels]
    data = trace.json()
    data["arrays"] = [dict(about) for about in data["arrays"]]
    images: dict[str, int] = {}  # most are drawn in several places: each is kept once
    for part in (*(label[side] for label in made for side in ("above", "below")), *data["arrays"]):
        if part and part.get("image"):
            part["image"] = images.setdefault(part["image"], len(images))
    return {
        "trace": data,
        "levels": rows,
        "labels": made,
        "images": list(images),
        "open": sorted(trace.open_groups()),
        "most": trace.most,
    }


def level_json(group: int, level: Level, labels: Labels, found: list[Label]) -> dict[str, Any]:
    """An arrangement with the sizes of its items, each group among them closed.

    The labels of the items are added to `found`, and named by their places there.
    """

    def place(label: Label | None) -> int | None:
        if label is None:
            return None
        found.append(label)
        return len(found) - 1

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
                "labels": [place(label) for label in size.labels],
            }
        )
    return {
        "items": items,
        "links": [[k.value, k.start, k.output, k.end, k.port, k.flows] for k in level.links],
        "columns": level.columns,
        "branching": sorted(level.branching),
        "flowing": sorted(level.flowing),
    }


def label_json(label: Label) -> dict[str, Any]:
    """What is written above and below a line, and the room that it takes."""
    return {
        "width": label.width,
        "up": label.up,
        "down": label.down,
        "above": side_json(label.above),
        "below": side_json(label.below),
    }


def side_json(side: Side | None) -> dict[str, Any] | None:
    """What is written on one side of a line."""
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
