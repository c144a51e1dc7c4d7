"""The package is read from top to bottom: each file imports only from those above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

# What is computed, how it is differentiated, see it, trust it, learn with it, make it fast, make
# it big. A package stands for all its files, among which there are no cycles.
ORDER = (
    "version",
    "graph",
    "ops",
    "backward",
    "numpy_shapes",
    "numpy_elementwise",
    "numpy_reductions",
    "numpy_along",
    "numpy_products",
    "numpy_linalg",
    "numpy_functions",
    "inputs",
    "protocol",
    "tensor",
    "structure",
    "derivatives",
    "functions",
    "checkpoint",  # needs none of the others; pictures are written as whole as what it saves
    "drawing",
    "checking",
    "nn",
    "optim",
    "data",
    "compiler",
    "training",
    "parallel",
    "cli",
)
EXEMPT = ("", "__main__")  # tarograd/__init__.py gathers the public names
SOURCE = Path(__file__).parents[1] / "src" / "tarograd"


def modules(folder: Path) -> dict[str, str]:
    """The source text by module name without `tarograd.`; a package by the name of its folder."""
    texts = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        texts[name] = path.read_text(encoding="utf-8")
    return texts


def imported(name: str, texts: Mapping[str, str]) -> Iterator[str]:
    """The modules of tarograd that one of them imports anywhere, inside functions too."""
    for node in ast.walk(ast.parse(texts[name])):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: write the import of {node.module} with its full path"
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            package, _, inside = target.partition(".")
            if package == "tarograd":
                while inside not in texts:  # names of things in a module are cut off
                    inside = inside.rpartition(".")[0]
                yield inside


def violations(texts: Mapping[str, str]) -> Iterator[str]:
    """One line per import that goes up instead of down, and one for a cycle in a package."""
    rank = {part: position for position, part in enumerate(ORDER)}
    inner: dict[str, set[str]] = {}
    for name in texts:
        part = name.partition(".")[0]
        if name in EXEMPT:
            continue
        if part not in rank:
            yield f"{name} is not in ORDER: put it where it is to be read"
            continue
        for other in imported(name, texts):
            other_part = other.partition(".")[0]
            if other_part == part:
                inner.setdefault(name, set()).add(other)
            elif other_part not in rank or rank[other_part] > rank[part]:
                yield f"{name} imports {other or 'tarograd itself'}, which is not above it"
    try:
        TopologicalSorter(inner).prepare()
    except CycleError as error:
        yield f"{' imports '.join(reversed(error.args[1]))}: a cycle"


def test_each_file_imports_only_from_those_above_it() -> None:
    texts = modules(SOURCE)
    assert {"", "graph", "ops.arithmetic", "checkpoint"} <= set(texts)
    assert set(imported("ops.arithmetic", texts)) == {"graph"}
    assert list(violations(texts)) == []


@pytest.mark.parametrize(
    ("changed", "violation"),
    [
        ({"graph": "from tarograd.tensor import Tensor"}, "graph imports tensor, which is not"),
        ({"ops.a": "import tarograd.tensor"}, "ops.a imports tensor, which is not above it"),
        ({"ops.a": "from tarograd import tensor"}, "ops.a imports tensor, which is not above it"),
        ({"tensor": "import tarograd as tg"}, "tensor imports tarograd itself"),
        ({"tensor": "from tarograd import Tensor"}, "tensor imports tarograd itself"),
        ({"tensor": "def f():\n  from tarograd.nn.b import c"}, "tensor imports nn.b, which"),
        ({"tensor": "if TYPE_CHECKING:\n  import tarograd.nn"}, "tensor imports nn, which is not"),
        ({"nn.b": "import tarograd.nn.c", "nn.c": "import tarograd.nn.b"}, "a cycle"),
        ({"nn.b": "from tarograd.nn import Layer", "nn": "import tarograd.nn.b"}, "a cycle"),
        ({"helpers": ""}, "helpers is not in ORDER: put it where it is to be read"),
        ({"helpers.a": ""}, "helpers.a is not in ORDER"),
    ],
)
def test_an_import_against_the_order_is_found(changed: dict[str, str], violation: str) -> None:
    texts = dict.fromkeys(["", "graph", "ops", "ops.a", "tensor", "nn", "nn.b", "nn.c"], "")
    assert list(violations(texts)) == []
    assert violation in next(violations(texts | changed))


def test_imports_down_the_order_pass() -> None:
    texts = {
        "": "from tarograd.tensor import Tensor",
        "graph": "import numpy",
        "ops": "",
        "ops.a": "from tarograd.graph import Node",
        "ops.b": "from tarograd.ops import a\nfrom tarograd.ops.a import x",
        "tensor": "from tarograd.ops import a, b\nimport tarograd.graph",
        "__main__": "from tarograd import cli",
        "cli": "from tarograd.tensor import Tensor",
    }
    assert list(violations(texts)) == []
