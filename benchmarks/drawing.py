"""`python -m benchmarks.drawing`: how long drawings of large graphs take, and how the page moves.

The page is timed in the system's Chromium, without a graphics card: a wall clock from opening the
file to the second frame, and frames while the picture is moved, zoomed and stepped through.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from shutil import which
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
import numpy as np

import tarograd as tg
from tarograd.drawing.arrange import Arrangement
from tarograd.drawing.html import page
from tarograd.drawing.labels import Labels
from tarograd.drawing.place import place
from tarograd.drawing.trace import ROOT, Trace

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Two frames after the scripts have run; then what a hand does, once a frame for two seconds.
OPENED = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() =>
  done(performance.now()))))"""
PAINTED = """() => new Promise((done) => new PerformanceObserver((list) =>
  list.getEntriesByName("first-contentful-paint").forEach((entry) => done(entry.startTime)))
  .observe({ type: "paint", buffered: true }))"""
FRAMES = """([seconds, act]) => new Promise((done) => {
  const graph = document.querySelector(".graph"), times = [];
  const send = (kind, more) => graph.dispatchEvent(new kind.type(kind.name, { bubbles: true,
    cancelable: true, pointerId: 1, clientX: 640, clientY: 400, ...more }));
  const pointer = (name, more) => send({ type: PointerEvent, name }, more);
  const acts = {
    pan: (i) => pointer("pointermove", { clientX: 640 + 200 * Math.sin(i / 20),
      clientY: 400 + 200 * Math.sin(i / 31) }),
    zoom: (i) => send({ type: WheelEvent, name: "wheel" }, { deltaY: 12 * Math.sin(i / 15) }),
    step: () => document.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" })),
  };
  if (act === "pan") pointer("pointerdown");
  const frame = (now) => {
    times.push(now);
    if (now - times[0] > 1000 * seconds) {
      pointer("pointerup");
      return done(times.slice(1).map((t, i) => t - times[i]));
    }
    acts[act](times.length);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})"""


def chain(nodes: int) -> tg.Tensor:
    """A chain in which every other value branches."""
    y: Any = tg.Tensor(0.5, "x")
    for _ in range(nodes // 2):
        y = np.sin(y) + y
    result: tg.Tensor = y
    return result


def flat(trace: Trace) -> Trace:
    """The trace with all its nodes in one level."""
    for node in trace.nodes:
        node.group = ROOT
    for value in trace.values:
        value.home = ROOT
    del trace.groups[1:]
    trace.groups[ROOT].leaves = {trace.output: trace.values[trace.output].gradient}
    return trace


def seconds(task: Callable[[], object], rounds: int) -> str:
    """The shortest and the median time of a task."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return f"{min(times):.2f} s, median {median(times):.2f} s of {rounds}"


def report(name: str, said: str) -> None:
    """One line of the table."""
    print(f"{name:<54}{said}", flush=True)


def layouts(nodes: int, rounds: int) -> None:
    """The layout of one level."""
    trace = flat(tg.draw(chain(nodes)).trace)

    def layout() -> None:
        place(Arrangement(trace), Labels(trace), {ROOT})

    report(f"layout of {nodes:,} primitives in one level", seconds(layout, rounds))


def opening(nodes: int, rounds: int) -> None:
    """A large graph, folded: its trace with all derivatives, and its picture."""
    y = chain(nodes)
    taken = seconds(lambda: tg.draw(y).svg(), rounds)
    report(f"tg.draw of {nodes:,} primitives and its SVG", taken)


def moving(browser: Browser, nodes: int, duration: float, rounds: int) -> None:
    """A page with many visible nodes: the time to paint it, and frames while it moves."""
    picture = tg.draw(chain(nodes))
    picture.trace.depth, picture.trace.most = 9, 2 * nodes
    with TemporaryDirectory() as folder:
        path = Path(folder, "page.html")
        path.write_text(page(picture.trace, picture.levels, picture.svg), encoding="utf-8")
        painted, opened = [], []
        for _ in range(rounds):
            tab = browser.new_page(viewport={"width": 1280, "height": 800})
            tab.goto(path.as_uri())
            opened.append(float(tab.evaluate(OPENED)))
            painted.append(float(tab.evaluate(PAINTED)))
            visible = int(tab.evaluate("seen()"))
            elements = tab.locator(".graph *").count()
            if len(opened) < rounds:
                tab.close()
        report(f"page with {visible:,} nodes and boxes ({elements:,} elements)", "")
        report("  first paint", f"{min(painted):.0f} ms, median {median(painted):.0f} ms")
        report("  second frame", f"{min(opened):.0f} ms, median {median(opened):.0f} ms")
        for zoom in ("whole", "near"):
            if zoom == "near":
                tab.keyboard.press("f")
                for _ in range(12):
                    tab.keyboard.press("+")
            for act in ("pan", "zoom", "step"):
                gaps = sorted(tab.evaluate(FRAMES, [duration, act]))
                rate, late = 1000 * len(gaps) / sum(gaps), gaps[int(0.95 * len(gaps))]
                report(f"  {act}, {zoom}", f"{rate:.0f} frames/s, 95 % within {late:.0f} ms")
        tab.close()


@click.command()
@click.option("--quick", is_flag=True, help="Small graphs only: shows that it works, not how fast.")
def main(quick: bool) -> None:
    """Time the layout of a large graph, the opening of a very large one, and the page."""
    small = 50 if quick else 1
    rounds = 2 if quick else 7
    layouts(10_000 // small, rounds)
    opening(100_000 // small, rounds)
    chromium = next(filter(None, map(which, ("chromium", "chromium-browser"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        print("no Chromium or no playwright: the page was not timed")
        return
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        for nodes in (300 // (10 if quick else 1), 1_000 // (10 if quick else 1)):
            moving(browser, nodes, 0.3 if quick else 2, rounds)
        browser.close()


if __name__ == "__main__":
    main()
