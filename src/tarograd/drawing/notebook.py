"""What a notebook shows: an image that survives an untrusted notebook, and the page inside it.

A notebook that is not trusted keeps the image and drops the script; one that is trusted replaces
the image by the page, in a frame that has no access to the notebook around it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape

from tarograd.drawing.labels import name_text
from tarograd.drawing.trace import Trace
from tarograd.drawing.words import describe

HEIGHT = 560  # pixels of the frame
MOST = 300  # operations; a larger graph is shown as an image alone


def mimebundle(trace: Trace, svg: str, page: Callable[[], str], text: str) -> dict[str, str]:
    """The picture in the forms from which a notebook chooses.

    Args:
        trace: what is drawn.
        svg: the picture.
        page: gives the interactive page.
        text: the picture as text.
    """
    image = base64.b64encode(svg.encode()).decode()
    words = escape(f"{name_text(trace.title)}: {describe(trace)}")
    html = f'<img alt="{words}" src="data:image/svg+xml;base64,{image}" style="max-width:100%">'
    if len(trace.nodes) <= MOST:
        frame = base64.b64encode(page().encode()).decode()
        html = (
            f"<div>{html}<script>(function(){{"
            "const s=document.currentScript,f=document.createElement('iframe');"
            "f.setAttribute('sandbox','allow-scripts');"
            f"f.style.cssText='width:100%;height:{HEIGHT}px;border:1px solid #d0d7de';"
            f"const b=Uint8Array.from(atob('{frame}'),c=>c.charCodeAt(0));"
            "f.srcdoc=new TextDecoder().decode(b);"
            "if(s)s.parentElement.replaceChildren(f);})()</script></div>"
        )
    return {"text/plain": text, "image/svg+xml": svg, "text/html": html}
