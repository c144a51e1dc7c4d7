"""The picture of a report: the gap against the step, and which elements are wrong.

Its arguments are the reports of report.py, which imports this file.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tarograd.checking.subject import Array
from tarograd.checkpoint import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAVES = 4  # lines in the left half
SIDE = 64  # cells of the right half along each axis; more are gathered, the worst of each block
SMALLEST = 1e-16
COLORS = {"wrong": "#c0392b", "cannot tell": "#b9770e", "right": "#1e8449"}
DASHES = ("-", "--", "-.", ":")


def draw(report: Any) -> Figure:
    """The figure of a report, without any window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    order = {"wrong": 0, "cannot tell": 1, "right": 2}
    leaves = sorted(report.leaves.values(), key=lambda leaf: order[leaf.verdict])
    figure.suptitle(f"{report.verdict}: the gradients of {report.subject}", color="#222222")
    _steps(left, [leaf for leaf in leaves if leaf.steps][:LEAVES])
    drawn = next((leaf for leaf in leaves if leaf.numeric is not None and leaf.numeric.size), None)
    _elements(figure, right, drawn)
    return figure


def save(report: Any, path: str | os.PathLike[str]) -> None:
    """Write the picture; the ending of the name, .svg or .png, says in which form.

    Raises:
        ValueError: for another ending.
        OSError: if the file can't be written; an older one stays as it was.
    """
    target = Path(path)
    kind = target.suffix.lower().lstrip(".")
    if kind not in ("svg", "png"):
        raise ValueError(f"{str(target)!r}: the picture of a report is saved as .svg or .png")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{str(target)!r}: there is no folder {str(target.parent)!r}")
    image = rendered(report, kind)
    write_atomically(target, image)


def rendered(report: Any, kind: str) -> bytes:
    """The picture as svg or png; the same report gives the same bytes."""
    from matplotlib import rc_context

    image = io.BytesIO()
    with rc_context({"svg.hashsalt": "tarograd", "svg.fonttype": "none"}):
        undated = {"Date": None} if kind == "svg" else None
        draw(report).savefig(image, format=kind, dpi=120, metadata=undated)
    return image.getvalue()


def _steps(axes: Axes, leaves: list[Any]) -> None:
    """What the gap does as the step gets smaller: a wrong gradient's stays."""
    from matplotlib.ticker import NullFormatter

    axes.set(xscale="log", yscale="log", xlabel="step, relative to the leaf", ylabel="|gap| / size")
    axes.set_title("gap between the two gradients by step", fontsize=10)
    for leaf, dash in zip(leaves, DASHES, strict=False):
        steps = np.array(leaf.steps)
        gaps = np.maximum(steps[:, 1], SMALLEST)
        axes.plot(
            steps[:, 0],
            gaps,
            dash,
            marker="o",
            markersize=4,
            color=COLORS[leaf.verdict],
            label=f"{leaf.name}: {leaf.verdict}",
        )
    if leaves:
        bound = min(max(max(leaf.bound for leaf in leaves), SMALLEST), 1.0)
        axes.axhline(bound, color="#888888", linewidth=0.8, linestyle=":")
        axes.annotate(
            "error bar", (0.99, bound), xycoords=("axes fraction", "data"), fontsize=8,
            color="#666666", ha="right", va="bottom",
        )  # fmt: skip
        axes.legend(fontsize=8, loc="best")
    else:
        axes.text(0.5, 0.5, "no derivative was compared", transform=axes.transAxes, ha="center")
    axes.set_ylim(SMALLEST / 3, 10)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.invert_xaxis()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _elements(figure: Figure, axes: Axes, leaf: Any) -> None:
    """Which elements of the worst leaf differ, and by how much."""
    if leaf is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no element was differentiated", transform=axes.transAxes, ha="center")
        return
    from matplotlib.colors import LogNorm

    cells, (rows, columns) = grid(leaf)
    colors: Any = LogNorm(1e-12, 1)
    image = axes.imshow(
        np.clip(cells, 1e-12, 1),
        norm=colors,
        cmap="magma",
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
    )
    axes.set_facecolor("#dddddd")
    figure.colorbar(image, ax=axes, label="|analytic − numeric| / largest")
    shape = "×".join(map(str, leaf.shape)) or "one number"
    axes.set_title(f"{leaf.name} ({shape}): which elements differ", fontsize=10)
    said = ["gray: not looked at"] if np.any(np.isnan(cells)) else []
    said += ["the worst of each block"] if cells.size < rows * columns else []
    axes.set(xlabel="; ".join(["last axis", *said]))
    axes.set(ylabel="the axes before it" if len(leaf.shape) > 1 else "")
    for axis, length in ((axes.xaxis, columns), (axes.yaxis, rows)):
        axis.set_major_locator(_whole(length))


def _whole(length: int) -> Any:
    from matplotlib.ticker import FixedLocator, MaxNLocator

    return FixedLocator(list(range(length))) if length <= 8 else MaxNLocator(integer=True)


def grid(leaf: Any) -> tuple[Array, tuple[int, int]]:
    """The relative gaps as a table of at most 64 × 64 cells, NaN where nothing is known.

    Returns:
        the table, and how many rows and columns of elements it stands for.
    """
    a, n = np.asarray(leaf.analytic, float), np.asarray(leaf.numeric, float)
    columns = leaf.shape[-1] if leaf.shape else 1
    size = float(np.nanmax(np.abs(n), initial=0)) or float(np.nanmax(np.abs(a), initial=0)) or 1.0
    gaps = np.where(np.isnan(n), np.nan, np.nan_to_num(np.abs(a - n), nan=np.inf) / size)
    table = gaps.reshape(-1, columns)
    whole = table.shape
    for axis in (0, 1):
        parts = np.array_split(table, min(SIDE, table.shape[axis]), axis=axis)
        # fmax ignores NaN: a block is unknown only where all of its elements are
        table = np.stack([np.fmax.reduce(p, axis=axis) for p in parts], axis=axis)
    return table, (whole[0], whole[1])
