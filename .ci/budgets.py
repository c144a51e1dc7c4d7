"""Holds the code to its budgets: one line per violation, exit status 1 if there is any.

In src/:
- a file has at most 400 lines, a function 50 (from `def` to its end, without its docstring);
- no `global` statement, and no list, dict or set bound to a module-level name, unless the name is
  in CAPITALS, which says that nobody changes it.
In every Python file:
- `noqa` and `type: ignore` name their code and give a reason: `# type: ignore[code]  # reason`;
- a TODO gives a reason: `TODO(why not now): what`.
In pyproject.toml: at most three rules in ruff's `ignore`.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # installed with pytest and mypy, which need it there too

FILE_LINES = 400
FUNCTION_LINES = 50
RUFF_IGNORES = 3
FOLDERS = ("src", "tests", "examples", "benchmarks", ".ci")

SUPPRESSION = re.compile(r"#\s*(ruff:\s*|flake8:\s*)?noqa|#\s*type:\s*ignore|#\s*mypy:", re.I)
EXPLAINED = re.compile(r"# (noqa: [A-Z]+\d+(, [A-Z]+\d+)*|type: ignore\[[a-z, -]+\])  # \w.*")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\(\w[^)]+\): \w)")
MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_TYPES = {"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter"}

Found = Iterator[tuple[int, str]]


def source_violations(text: str) -> Found:
    """Checks a file of src/: yields line number and message."""
    lines = len(text.splitlines())
    if lines > FILE_LINES:
        yield lines, f"the file has {lines} lines, more than {FILE_LINES}"
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield node.lineno, f"global statement: {', '.join(node.names)}"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = function_lines(node)
            if length > FUNCTION_LINES:
                yield node.lineno, f"{node.name} has {length} lines, more than {FUNCTION_LINES}"
    for statement in tree.body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and is_mutable(statement.value):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            for name in names:
                if not name.isupper() and not name.startswith("__"):
                    yield statement.lineno, f"module-level mutable state: {name}"


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines from `def` to the end, without the docstring."""
    first, length = node.body[0], (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is not None:
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def is_mutable(value: ast.expr | None) -> bool:
    """Whether an expression makes a list, dict or set: by display, comprehension or call."""
    if isinstance(value, ast.Call):
        name = value.func.attr if isinstance(value.func, ast.Attribute) else value.func
        return (name.id if isinstance(name, ast.Name) else name) in MUTABLE_TYPES
    return isinstance(value, MUTABLE)


def comment_violations(text: str) -> Found:
    """Checks the comments of any Python file: yields line number and message."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if SUPPRESSION.search(token.string) and not EXPLAINED.fullmatch(token.string):
            yield token.start[0], f"suppression without code and reason: {token.string}"
        if UNFINISHED.search(token.string):
            yield token.start[0], f"unfinished without reason: {token.string}"


def settings_violations(text: str) -> Found:
    """Checks pyproject.toml: yields line number and message."""
    lint = tomllib.loads(text)["tool"]["ruff"]["lint"]
    ignored = [*lint.get("ignore", []), *lint.get("extend-ignore", [])]
    if len(ignored) > RUFF_IGNORES:
        yield 1, f"ruff ignores {', '.join(ignored)}: more than {RUFF_IGNORES}"


def violations(root: Path) -> Iterator[str]:
    """All violations of a checkout, as `path:line: message`."""
    for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py")):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(root)
        checks = [comment_violations] + [source_violations] * (name.parts[0] == "src")
        yield from (f"{name}:{line}: {what}" for check in checks for line, what in check(text))
    settings = (root / "pyproject.toml").read_text(encoding="utf-8")
    yield from (f"pyproject.toml:{line}: {what}" for line, what in settings_violations(settings))


if __name__ == "__main__":
    found = list(violations(Path(__file__).parents[1]))
    print("\n".join(found) or "budgets: every file, function and suppression is within its budget")
    sys.exit(bool(found))
