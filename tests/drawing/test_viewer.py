"""The scripts of the page: strictly typed, of a readable size, with no name taken twice."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import as_file, files

import pytest

from tarograd.drawing.html import LANGUAGES, SCRIPTS

VIEWER = files("tarograd.drawing") / "viewer"
CHECK = [
    *("--noEmit", "--allowJs", "--checkJs", "--strict", "--target", "es2022", "--module", "es2022"),
    *("--moduleResolution", "bundler", "--lib", "es2023,dom,dom.iterable"),
]


def test_the_scripts_are_typed() -> None:
    compiler = shutil.which("tsc")
    if compiler is None:
        pytest.skip("no tsc on the PATH (npm install -g typescript): the types were not checked")
    with as_file(VIEWER) as folder:
        done = subprocess.run(
            [compiler, *CHECK, "page.js", "widget.js"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_readable(name: str) -> None:
    assert len((VIEWER / name).read_text("utf-8").splitlines()) <= 400


def test_the_scripts_do_not_take_each_others_names() -> None:
    declared: list[str] = []
    for name in SCRIPTS:
        text = (VIEWER / name).read_text("utf-8")
        declared += re.findall(r"^(?:export )?(?:function|const|let) (\w+)", text, re.M)
    assert len(declared) == len(set(declared))


def test_the_languages_have_the_same_keys() -> None:
    words = {name: json.loads((VIEWER / f"{name}.json").read_text("utf-8")) for name in LANGUAGES}
    assert len({tuple(sorted(found)) for found in words.values()}) == 1
    script = "".join((VIEWER / name).read_text("utf-8") for name in SCRIPTS)
    used = set(re.findall(r"words\.(\w+)", script)) | {"first", "back", "next", "last", "play"}
    assert used | {"name"} | {"fit"} == set(words["en"])
