"""A notebook: an image without scripts, the page with them, text everywhere else."""

from __future__ import annotations

import base64
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from graphs import TWELVE, apple
from playwright.sync_api import Browser
from test_html import browser

import tarograd as tg

__all__ = ["browser"]  # the fixture

HOST = "<!DOCTYPE html><meta charset=utf-8><body>{}</body>"


@pytest.fixture(params=[True, False], ids=["trusted", "untrusted"])
def trusted(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_the_forms() -> None:
    picture = tg.draw(apple())
    bundle = picture._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/svg+xml", "text/html"}
    assert bundle["text/plain"] == str(picture)
    image = re.search(r"data:image/svg\+xml;base64,([\w+/=]+)", bundle["text/html"])
    assert image is not None
    assert '<img alt="graph: apple = 100, derivative 2.2; ' in bundle["text/html"]
    assert base64.b64decode(image[1]).decode() == picture.svg() == bundle["image/svg+xml"]


def test_in_a_browser(browser: Browser, tmp_path: Path, trusted: bool) -> None:
    html = tg.draw(TWELVE["branch"]())._repr_mimebundle_()["text/html"]
    if not trusted:  # as a notebook's sanitizer does
        html = re.sub(r"<script>.*?</script>", "", html)
    path = tmp_path / "cell.html"
    path.write_text(HOST.format(html), encoding="utf-8")
    page = browser.new_page(locale="en-US")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    if trusted:
        frame = page.frame_locator("iframe")
        frame.get_by_role("button", name="To the end").click()
        assert "5 / 5" not in frame.locator(".strip").inner_text()
        assert "∂L/∂x" in frame.locator(".strip").inner_text()
        assert page.locator("img").count() == 0
    else:
        assert page.evaluate("document.querySelector('img').naturalWidth") > 300
        assert page.locator("iframe").count() == 0
    assert errors == []
    page.close()


def test_a_large_graph_is_an_image_alone() -> None:
    x = tg.Tensor(0.5, "x")
    for _ in range(301):
        x = x * 1.0
    assert "<script" not in tg.draw(x)._repr_mimebundle_()["text/html"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, bool, str], str]]:
    """A JupyterLab; gives the address of an executed notebook with one cell of code."""
    for module in ("jupyterlab", "nbclient", "ipykernel", "anywidget"):
        pytest.importorskip(module, reason=f"{module} is not installed: pip install '.[lab]'")
    import nbclient

    nbformat: Any = pytest.importorskip("nbformat")

    folder = tmp_path_factory.mktemp("lab")
    places = {f"JUPYTER_{name}_DIR": str(folder / name) for name in ("DATA", "CONFIG", "RUNTIME")}
    environment = os.environ | places | {"IPYTHONDIR": str(folder / "ipython")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *(f"--port={port}", "--ip=127.0.0.1", f"--notebook-dir={folder}"),
            *("--IdentityProvider.token=", "--ServerApp.password=", "--LabApp.news_url="),
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def notebook(name: str, trusted: bool, code: str) -> str:
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        cells = [nbformat.v4.new_code_cell(code)]
        made = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        child = subprocess.run(
            [sys.executable, "-c", EXECUTE],
            input=nbformat.writes(made),
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert child.returncode == 0, child.stderr
        path = folder / f"{name}.ipynb"
        path.write_text(child.stdout, encoding="utf-8")
        if trusted:
            command = [sys.executable, "-m", "jupyter", "trust", str(path)]
            subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
        return f"http://127.0.0.1:{port}/lab/workspaces/{name}/tree/{name}.ipynb"

    assert nbclient
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5).close()
            break
        except OSError:
            time.sleep(0.2)
    yield notebook
    server.terminate()
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        server.kill()


APPLE = """\
import tarograd as tg

picture = tg.draw(tg.Tensor(100, "apple") * tg.Tensor(2, "count") * tg.Tensor(1.1, "tax"))
"""
EXECUTE = """\
import sys, nbclient, nbformat
made = nbformat.reads(sys.stdin.read(), 4)
nbclient.NotebookClient(made, timeout=120).execute()
print(nbformat.writes(made))
"""


def test_in_jupyterlab(browser: Browser, lab: Callable[..., str], trusted: bool) -> None:
    """A notebook is executed, saved, and opened as its reader opens it."""
    address = lab("trusted" if trusted else "untrusted", trusted, APPLE + "picture")
    page = browser.new_page(locale="en-US")
    page.goto(address)
    output = page.locator(".jp-OutputArea-output").first
    output.wait_for(timeout=60_000)
    if trusted:
        frame = output.frame_locator("iframe")
        frame.get_by_role("button", name="To the end").click(timeout=30_000)
        assert "∂L/∂apple = 1.1 × 2 = 2.2" in frame.locator(".strip").inner_text()
    else:
        image = output.locator("img")
        image.wait_for(timeout=30_000)
        assert image.evaluate("(i) => i.naturalWidth") > 300
        assert output.locator("iframe").count() == 0
    page.close()


def test_a_widget_tells_python_what_is_selected(browser: Browser, lab: Callable[..., str]) -> None:
    address = lab("widget", True, APPLE + "widget = picture.widget()\nwidget")
    page = browser.new_page(locale="en-US")
    page.goto(address)
    page.get_by_text("| Idle").wait_for(timeout=60_000)  # the kernel runs
    cells = page.locator(".jp-CodeCell .cm-content")
    cells.first.click()
    page.keyboard.press("Shift+Enter")
    frame = page.locator(".jp-OutputArea-output").frame_locator("iframe")
    frame.locator(".box.leaf", has_text="count").click(timeout=60_000)
    page.wait_for_timeout(1000)  # what is selected is told when the hand rests
    cells.last.click()
    page.keyboard.type("print('array', widget.array, widget.selected)")
    page.keyboard.press("Shift+Enter")
    told = page.get_by_text("array 2.0 value1")
    told.wait_for(timeout=30_000)
    page.close()


def test_without_anywidget_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(ImportError, match=r"pip install 'tarograd\[notebook\]'"):
        tg.draw(apple()).widget()
