"""`draw`, and the `Picture` it gives: one trace, every medium."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from tarograd.checkpoint import write_atomically
from tarograd.drawing.arrange import Arrangement
from tarograd.drawing.canvas import only_ascii, to_ascii
from tarograd.drawing.html import page
from tarograd.drawing.labels import Labels
from tarograd.drawing.notebook import mimebundle
from tarograd.drawing.outline import outline
from tarograd.drawing.place import Scene, place
from tarograd.drawing.raster import png
from tarograd.drawing.record import record
from tarograd.drawing.svg import picture_size, svg
from tarograd.drawing.terminal import terminal
from tarograd.drawing.trace import ROOT, Trace
from tarograd.drawing.widget import widget
from tarograd.drawing.words import describe, dot
from tarograd.inputs import upstream_gradient
from tarograd.tensor import Tensor


class Picture:
    """A drawing of a computation, made by `tg.draw`.

    Print it, or look at it in a notebook; `save` writes it to a file.

    Attributes:
        trace: what is drawn, as data.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    @cached_property
    def levels(self) -> Arrangement:
        """Who stands in which column, for each group."""
        return Arrangement(self.trace)

    @cached_property
    def scene(self) -> Scene:
        """Where everything stands."""
        return place(self.levels, Labels(self.trace), self.trace.open_groups())

    def svg(self, dark: bool | None = None) -> str:
        """The picture as SVG, one file that stands alone.

        Args:
            dark: whether on a dark ground; by default as the reader's system prefers.
        """
        return svg(self.trace, self.scene, describe(self.trace), dark)

    def html(self, language: Literal["en", "zh-CN", "ja"] | None = None) -> str:
        """The interactive page: one file that works offline.

        Args:
            language: of the page; by default as the reader's browser prefers.

        Raises:
            ValueError: for more than 10000 operations.
        """
        return page(self.trace, self.levels, self.svg, language)

    def terminal(
        self,
        *,
        color: bool = False,
        ascii: bool = False,
        width: Literal[1, 2] = 1,
        columns: int = 200,
    ) -> str:
        """The picture as text: drawn if it is small, else as an outline.

        Args:
            color: whether backward is colored, by ANSI sequences.
            ascii: whether only ASCII may be used.
            width: how many cells the terminal gives to characters such as × and ─; 2 in some
                Chinese, Japanese and Korean terminals.
            columns: the width of the terminal; a picture that is wider becomes an outline.
        """
        lines = terminal(
            self.trace, color=color, ascii=ascii, width=width, columns=columns
        ) or outline(self.trace)
        return "\n".join(to_ascii(line) if ascii else line for line in lines)

    def __str__(self) -> str:
        """The picture as text, in ASCII where a print could show nothing else."""
        return self.terminal(ascii=only_ascii(getattr(sys.stdout, "encoding", None)))

    def __repr__(self) -> str:
        return f"Picture({self.trace.title!r}, {len(self.trace.nodes)} operations)"

    def json(self) -> str:
        """The trace as JSON; `tarograd/drawing/viewer/trace.schema.json` describes it."""
        return json.dumps(self.trace.json(), allow_nan=False, separators=(",", ":"))

    def png(self) -> bytes:
        """The picture as pixels, on a light ground.

        Raises:
            OSError: if neither rsvg-convert nor a Chromium is installed.
        """
        size = picture_size(self.scene)
        return png(self.svg(dark=False), *size)

    def dot(self) -> str:
        """The graph in the language of Graphviz, each operation a node, without boxes."""
        return dot(self.trace)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file; the name says in which form.

        Args:
            path: ends in .svg, .html, .json, .dot or .png.

        Raises:
            ValueError: for another ending.
            OSError: if the file can't be written; an older one stays as it was.
        """
        target = Path(path)
        forms: dict[str, Callable[[], str | bytes]] = {
            ".svg": self.svg,
            ".html": self.html,
            ".json": self.json,
            ".dot": self.dot,
            ".png": self.png,
        }
        if target.suffix.lower() not in forms:
            raise ValueError(f"{str(target)!r}: a picture is saved as {', '.join(forms)}")
        if not target.parent.is_dir():
            raise FileNotFoundError(f"{str(target)!r}: there is no folder {str(target.parent)!r}")
        made = forms[target.suffix.lower()]()
        write_atomically(target, made.encode() if isinstance(made, str) else made)

    def widget(self) -> Any:
        """The page as a widget of a running notebook, which tells Python what is selected in it.

        Its `step` can be read and set, `selected` is the name of what was clicked, and `array`
        the value there. A picture that is the last line of a cell needs no widget: it shows
        itself, also in a notebook that does not run.

        Raises:
            ImportError: if anywidget is not installed: pip install 'tarograd[notebook]'.
        """
        return widget(self.trace, self.html())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """For a notebook: the page where scripts run, else the SVG as an image, else text."""
        return mimebundle(self.trace, self.svg(), self.html, str(self))


def draw(
    subject: Any,
    *inputs: Any,
    backward: bool = True,
    depth: int = 1,
    upstream: ArrayLike | None = None,
) -> Picture:
    """Draw a computation as the textbook does: values above the edges, derivatives below.

    Nothing changes by it: not the graph, not `.grad`, not the state of any random numbers.

    Args:
        subject: a Tensor, of which the graph behind it is drawn; or a layer, a network or a
            function of Tensors, which is first computed for the `inputs`. A compiled function is
            drawn without inputs: its last call, the backward pass inside of it included.
        *inputs: the inputs of the subject; for a network `x`, or `x` and the targets `t` to
            draw the loss as well.
        backward: whether the derivatives are computed and drawn.
        depth: how many levels of boxes are open. 0 draws a network as one box, 1 as its layers,
            2 opens these, and operations that are made of others, too.
        upstream: the gradient that arrives at the result, of its shape; ones if left out.

    Returns:
        the picture.

    Raises:
        TypeError: if the subject is none of these, or its result no Tensor.
        ValueError: if `upstream` has another shape than the result, depth is negative, or a
            compiled function was not called yet.

    Example:
        >>> import tarograd as tg
        >>> apple, count = tg.Tensor(100, "apple"), tg.Tensor(2, "count")
        >>> print(draw(apple * count))
        apple ──100──▶(×)──200──▶
              ◀━2━━━━  │ ◀━1━━━━
        count ──2──────┘
              ◀━100━━━━
    """
    if depth < 0:
        raise ValueError(f"depth={depth}: it is a number of levels, 0 or more")
    if not inputs and not isinstance(subject, Tensor) and hasattr(type(subject), "graph"):
        subject = subject.graph
    output = subject if isinstance(subject, Tensor) else _computed(subject, inputs)
    if isinstance(subject, Tensor) and inputs:
        raise TypeError("draw: a Tensor is drawn as it is; inputs go with a layer or a function")
    title = output.name or _title(subject)
    if not backward or output.dtype.kind != "f":
        arriving = None
    else:
        ones = np.ones(output.shape) if upstream is None else upstream
        arriving = upstream_gradient(output, ones)
    trace = record(output, title, depth, arriving)
    boxes = [g for g in trace.groups[1:] if g.parent == ROOT]
    if depth and len(boxes) == 1 and all(node.group != ROOT for node in trace.nodes):
        trace.depth = max(depth, boxes[0].level)  # a box alone would show nothing
    return Picture(trace)


def _computed(subject: Any, inputs: tuple[Any, ...]) -> Tensor:
    """The result of a layer, a network or a function."""
    if not callable(subject):
        raise TypeError(f"draw: a Tensor, a layer or a function is needed, not {subject!r}")
    given = list(inputs)
    read = getattr(subject, "read", np.asarray)
    compute = getattr(subject, "function", subject)  # of a compiled one: it takes no Tensors
    if given and not isinstance(given[0], Tensor):
        array = np.asarray(read(given[0]))
        given[0] = Tensor(array, "x") if array.dtype.kind == "f" else given[0]
    if hasattr(subject, "objective") and len(given) > 1:
        compute = subject.objective
        given[1] = given[1] if isinstance(given[1], Tensor) else np.asarray(given[1])
    output = compute(*given)
    if not isinstance(output, Tensor):
        raise TypeError(
            f"draw: {_title(subject)} gave {type(output).__name__}, not a Tensor; give it at "
            "least one input of floats"
        )
    return output


def _title(subject: Any) -> str:
    if isinstance(subject, Tensor):
        return "graph"
    return str(getattr(subject, "__name__", type(subject).__name__))
