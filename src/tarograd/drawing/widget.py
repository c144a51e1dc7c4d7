"""For a live notebook: the page as a widget, so that Python sees what is selected in it."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

from tarograd.drawing.trace import Trace
from tarograd.graph import Array


def widget(trace: Trace, page: str) -> Any:
    """The page as a widget of the running notebook.

    Args:
        trace: what is drawn.
        page: the interactive page.

    Raises:
        ImportError: if anywidget is not installed.
    """
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise ImportError(
            "picture.widget() needs anywidget: pip install 'tarograd[notebook]'. Without it the "
            "picture shows itself: make it the last line of a cell"
        ) from None

    def array(self: Any) -> Array | None:
        """The value on the selected edge, or that a selected operation computed."""
        found = re.fullmatch(r"(value|node)(\d+)", self.selected)
        if found is None:
            return None
        at = int(found[2])
        return trace.values[at if found[1] == "value" else trace.nodes[at].output].array

    members = {
        "_esm": (files("tarograd.drawing") / "viewer" / "widget.js").read_text("utf-8"),
        "html": traitlets.Unicode(page).tag(sync=True),
        "step": traitlets.Int(0).tag(sync=True),
        "selected": traitlets.Unicode("").tag(sync=True),
        "array": property(array),
    }
    return type("PictureWidget", (anywidget.AnyWidget,), members)()
