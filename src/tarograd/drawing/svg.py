"""SVG in the textbook's notation: one file that stands alone, light and dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import atan2, tan

from tarograd.drawing.labels import LINE, NEAR, THUMB, Side, box_kind, name_text
from tarograd.drawing.place import Box, Line, Scene
from tarograd.drawing.trace import Trace

APART = 3.0  # of each of the two lines from the axis of their edge
ROUND = 10.0  # the radius of a corner

STYLE = (
    "svg{background:#fff;font:13px ui-sans-serif,system-ui,sans-serif}"
    "path{fill:none;stroke:#1f2328}text{fill:#1f2328;text-anchor:middle}"
    ".b{stroke:#d55e00;stroke-width:3.2;stroke-linecap:square}"
    ".n{stroke:#8c939b;stroke-width:1.6;stroke-dasharray:1.6 3.4}"
    ".s{fill:#57606a;font-size:11px}.g{fill:#b34700}.t{text-anchor:start}"
    ".o,.p{fill:#fff;stroke:#1f2328;stroke-width:1.3}.p{stroke:#57606a;fill:#f3f4f6}"
    ".l{fill:#e8f1fa;stroke:#0072b2;stroke-width:1.3}.x{fill:#0072b2;fill-opacity:.05;"
    "stroke:#0072b2;stroke-opacity:.55}.m{font-weight:600}.e{fill:#c2007a;font-weight:700}"
    ".d{fill:#1f2328}.a{fill:#1f2328;stroke:none}.r{fill:#d55e00;stroke:none}"
)
DARK = (
    "svg{background:#0d1117}path{stroke:#e6edf3}text{fill:#e6edf3}.b{stroke:#ff8c42}"
    ".n{stroke:#6e7681}.s{fill:#9aa4af}.g{fill:#ffa366}.o{fill:#0d1117;stroke:#e6edf3}"
    ".p{fill:#21262d;stroke:#9aa4af}.l{fill:#10243a;stroke:#56b4e9}"
    ".x{fill:#56b4e9;stroke:#56b4e9;fill-opacity:.07}.e{fill:#ff7ac6}"
    ".d,.a{fill:#e6edf3}.a,.r{stroke:none}.r{fill:#ff8c42}"
)
MARKERS = (
    '<marker id="f" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
    ' markerUnits="userSpaceOnUse" orient="auto"><path class="a" d="M0 1L8 4L0 7z"/></marker>'
)


def svg(trace: Trace, scene: Scene, description: str, dark: bool | None = None) -> str:
    """The picture as SVG.

    Args:
        trace: what is drawn.
        scene: where.
        description: the same in words, for a screen reader.
        dark: on a dark ground; by default as the reader's system prefers.
    """
    width, height = picture_size(scene)
    style = STYLE + (DARK if dark else "")
    if dark is None:
        style += f"@media(prefers-color-scheme:dark){{{DARK}}}"
    frames = [box for box in scene.boxes if box.open]
    shapes = [box for box in scene.boxes if not box.open]
    body = [
        *(_frame(trace, box) for box in frames),
        *_paths(scene.lines),
        *(_shape(trace, box) for box in shapes),
        *(_label(line) for line in scene.lines if line.label),
        *(_dot(line) for line in scene.lines if line.branch),
    ]
    title, words = escape(name_text(trace.title)), escape(description)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img"><title>{title}</title><desc>{words}</desc>'
        f"<style>{style}</style><defs>{MARKERS}</defs>{''.join(body)}</svg>\n"
    )


def picture_size(scene: Scene) -> tuple[int, int]:
    """Width and height of the whole, in pixels."""
    return round(scene.width + 12), round(scene.height)


def _n(x: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{round(x, 1):g}"


def _frame(trace: Trace, box: Box) -> str:
    group = trace.groups[box.ref]
    y = box.y - box.height / 2
    name = escape(name_text(group.name))
    kind = group.symbol if group.kind == "operation" else box_kind(group.kind, group.size)
    kind = "" if group.kind == "operation" and kind == group.name else escape(name_text(kind))
    return (
        f'<rect class="x" x="{_n(box.x)}" y="{_n(y)}" width="{_n(box.width)}"'
        f' height="{_n(box.height)}" rx="12"/><text class="t" x="{_n(box.x + 12)}"'
        f' y="{_n(y + 18)}"><tspan class="m">{name}</tspan> <tspan class="s">{kind}</tspan></text>'
    )


def _shape(trace: Trace, box: Box) -> str:
    middle, y = box.x + box.width / 2, box.y - box.height / 2
    rect = f'x="{_n(box.x)}" y="{_n(y)}" width="{_n(box.width)}" height="{_n(box.height)}"'
    text = f'x="{_n(middle)}" y="{_n(box.y + 4.5)}"'
    if box.kind == "node":
        node = trace.nodes[box.ref]
        return _operation(box, node.symbol, node.op)
    if box.kind == "group":
        group = trace.groups[box.ref]
        if group.kind == "operation":
            return _operation(box, group.symbol, group.name, "l")
        name, kind = escape(name_text(group.name)), escape(box_kind(group.kind, group.size))
        return (
            f'<rect class="l" {rect} rx="10"/><text class="m" x="{_n(middle)}"'
            f' y="{_n(box.y - 2)}">{name}</text><text class="s" x="{_n(middle)}"'
            f' y="{_n(box.y + 14)}">{escape(name_text(kind))}</text>'
        )
    value = trace.values[box.ref]
    if not value.name and value.kind == "constant":
        return f'<circle class="d" cx="{_n(middle)}" cy="{_n(box.y)}" r="2.5"/>'
    name = escape(name_text(value.name) or "·")
    if value.kind == "input":
        return f'<text class="m" {text}>{name}</text>'
    return f'<rect class="p" {rect} rx="6"/><text {text}>{name}</text>'


def _operation(box: Box, symbol: str, name: str, kind: str = "o") -> str:
    middle, size = box.x + box.width / 2, 17 if len(symbol) == 1 else 13
    words = f"<title>{escape(name_text(name))}</title>" if name != symbol else ""
    if box.width == box.height:
        shape = (
            f'<circle class="{kind}" cx="{_n(middle)}" cy="{_n(box.y)}" r="{_n(box.width / 2)}"/>'
        )
    else:
        shape = (
            f'<rect class="{kind}" x="{_n(box.x)}" y="{_n(box.y - box.height / 2)}"'
            f' width="{_n(box.width)}" height="{_n(box.height)}" rx="19"/>'
        )
    style = f' style="font-size:{size}px"' if size != 13 else ""
    y = box.y + (6 if size == 17 else 4.5)
    text = words + escape(name_text(symbol))
    return f'{shape}<text{style} x="{_n(middle)}" y="{_n(y)}">{text}</text>'


def _paths(lines: Sequence[Line]) -> Iterator[str]:
    """Thin forward and thick backward, or dotted where no derivative was computed."""
    for line in lines:
        arrow = ' marker-end="url(#f)"' if line.head else ""
        yield f'<path d="{path(line.points, -APART)}"{arrow}/>'
        if line.flows:
            points, arrow = line.points, ""
            if line.tail:
                x, y = points[0]
                points = ((x + 9, y), *points[1:])
                arrow = f'<path class="r" d="M{_n(x + 1)} {_n(y + APART)}l10 -5.5v11z"/>'
            yield f'<path class="b" d="{path(points, APART)}"/>{arrow}'
        else:
            yield f'<path class="n" d="{path(line.points, APART)}"/>'


def path(points: Sequence[tuple[float, float]], off: float) -> str:
    """The way through the points, moved sideways by `off`, as the `d` of an SVG path."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    start = f"M{_n(x0)} {_n(y0 + off)}"
    if len(points) > 2:
        return start + _corners(points, off)
    if abs(y1 - y0) < 0.05:
        return f"{start}H{_n(x1)}"
    bend = (x0 + x1) / 2 - off * tan(atan2(y1 - y0, max(x1 - x0, 1.0)) / 2)
    return f"{start}C{_n(bend)} {_n(y0 + off)} {_n(bend)} {_n(y1 + off)} {_n(x1)} {_n(y1 + off)}"


def _corners(points: Sequence[tuple[float, float]], off: float) -> str:
    """Down behind the end of a row and back below it: moved so that the lines stay parallel."""
    (right, below), left, (x1, y1) = (points[1][0], points[2][1]), points[3][0], points[-1]
    r = ROUND
    return (
        f"H{_n(right - off - r)}q{_n(r)} 0 {_n(r)} {_n(r)}V{_n(below - off - r)}"
        f"q0 {_n(r)} {_n(-r)} {_n(r)}H{_n(left - off + r)}q{_n(-r)} 0 {_n(-r)} {_n(r)}"
        f"V{_n(y1 + off - r)}q0 {_n(r)} {_n(r)} {_n(r)}H{_n(x1)}"
    )


def _label(line: Line) -> str:
    """The value above the line and the derivative below, at its beginning; a share at its end."""
    label = line.label
    if label is None:
        return ""
    (x0, y), (x1, _) = line.points[0], line.points[-1]
    x = x1 - label.width / 2 if line.kind == "share" else x0 + label.width / 2 + 2
    found = ""
    if label.above:
        found += _side(label.above, x, y - NEAR - (label.above.height - NEAR) + LINE - 4, "")
    if label.below and line.flows:
        found += _side(label.below, x, y + NEAR + LINE - 2, "g")
    return found


def _side(side: Side, x: float, y: float, kind: str) -> str:
    """Lines of text from y down, and the picture: above the text, below it for a derivative."""
    kind = kind if side.finite else "e"
    picture = ""
    if side.pictured:
        top = y + LINE * (len(side.lines) - 1) + 6 if kind == "g" else y - LINE + 4
        picture = _picture(side, x, top)
        y += 0 if kind == "g" else THUMB + 4
    words = f"<title>{escape(side.full)}</title>"
    found = ""
    for i, text in enumerate(side.lines):
        title = words if i == 0 and side.full not in (text, text + ".0") else ""
        classes = f"{kind} s".strip() if i or side.pictured else kind
        named = f' class="{classes}"' if classes else ""
        found += f'<text{named} x="{_n(x)}" y="{_n(y + LINE * i)}">{title}{escape(text)}</text>'
    return picture + found


def _picture(side: Side, x: float, y: float) -> str:
    if side.image:
        return (
            f'<image x="{_n(x - THUMB / 2)}" y="{_n(y)}" width="{THUMB}" height="{THUMB}"'
            f' style="image-rendering:pixelated" preserveAspectRatio="none"'
            f' href="data:image/png;base64,{side.image}"/>'
        )
    most, step = max(side.histogram), 40 / len(side.histogram)
    bars = "".join(
        f"M{_n(x - 20 + (i + 0.5) * step)} {_n(y + THUMB)}v{_n(-THUMB * n / most)}"
        for i, n in enumerate(side.histogram)
        if n
    )
    return f'<path class="h" d="{bars}" style="stroke-width:{_n(step - 0.6)}"/>'


def _dot(line: Line) -> str:
    x, y = line.points[-1]
    return f'<circle class="d" cx="{_n(x)}" cy="{_n(y)}" r="4.5"/>'
