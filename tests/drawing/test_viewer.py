"""The scripts of the page: strictly typed, of a readable size, with no name taken twice."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import as_file, files
from typing import Any

import pytest

from tarograd.drawing import film
from tarograd.drawing.html import LANGUAGES, SCRIPTS

VIEWER = files("tarograd.drawing") / "viewer"
CHECK = [
    *("--noEmit", "--allowJs", "--checkJs", "--strict", "--target", "es2022", "--module", "es2022"),
    *("--moduleResolution", "bundler", "--lib", "es2023,dom,dom.iterable"),
]


@pytest.mark.parametrize("given", [("page.js", "widget.js"), ("run.js",)])
def test_the_scripts_are_typed(given: tuple[str, ...]) -> None:
    compiler = shutil.which("tsc")
    if compiler is None:
        pytest.skip("no tsc on the PATH (npm install -g typescript): the types were not checked")
    with as_file(VIEWER) as folder:
        done = subprocess.run(
            [compiler, *CHECK, *given],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize("name", sorted({*SCRIPTS, *film.SCRIPTS}))
def test_a_script_is_readable(name: str) -> None:
    assert len((VIEWER / name).read_text("utf-8").splitlines()) <= 400


def test_all_scripts_are_in_a_page() -> None:
    found = {f.name for f in VIEWER.iterdir() if f.name.endswith(".js")}
    assert found == {*SCRIPTS, *film.SCRIPTS, "widget.js"}


@pytest.mark.parametrize("scripts", [SCRIPTS, film.SCRIPTS], ids=["picture", "run"])
def test_the_scripts_do_not_take_each_others_names(scripts: tuple[str, ...]) -> None:
    declared: list[str] = []
    for name in scripts:
        text = (VIEWER / name).read_text("utf-8")
        declared += re.findall(r"^(?:export )?(?:function|const|let) (\w+)", text, re.M)
    assert len(declared) == len(set(declared))


def test_the_languages_have_the_same_keys() -> None:
    words = {name: json.loads((VIEWER / f"{name}.json").read_text("utf-8")) for name in LANGUAGES}
    assert len({tuple(sorted(found)) for found in words.values()}) == 1
    script = "".join((VIEWER / name).read_text("utf-8") for name in SCRIPTS)
    used = set(re.findall(r"words\.(\w+)", script)) | {"first", "back", "next", "last", "play"}
    # "run" is for the page of a run, "still" for browsers without scripts.
    assert used | {"name", "fit", "run", "still"} == set(words["en"])


def paths(said: Any) -> Iterator[str]:
    """The keys of nested words, and the places that numbers take in them."""
    for key, inner in said.items() if isinstance(said, dict) else ():
        yield key
        if isinstance(inner, dict):
            yield from (f"{key}.{path}" for path in paths(inner))
        else:
            yield from (f"{key} {place}" for place in re.findall(r"{\w+}", inner))


def test_the_page_of_a_run_says_the_same_in_all_languages() -> None:
    words = [json.loads((VIEWER / f"{name}.json").read_text("utf-8"))["run"] for name in LANGUAGES]
    en, *others = (sorted(set(paths(said))) for said in words)
    assert [en, en] == others
    scripts = ("run.js", "panels.js", "recording.js", "charts.js")
    script = "".join((VIEWER / name).read_text("utf-8") for name in scripts)
    used = set(re.findall(r"words\.(\w+)", script))
    columns = {"epoch", "step", "loss", "train_accuracy", "test_accuracy", "validation_accuracy"}
    assert used | columns | {"still"} == set(words[0]) | {"language", "notComputed"}
