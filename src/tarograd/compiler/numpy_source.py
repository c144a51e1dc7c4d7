"""The readable source: a program as NumPy that a student could have written.

Executing it does what eager code does, operation by operation. It is documentation, the reference
that faster code is held against, and what runs where nothing faster can.

In comes the graph of two apples with their tax and derivatives; out comes

    >>> import tarograd as tg
    >>> from tarograd.compiler.rewrite import rewrite
    >>> from tarograd.compiler.trace import trace
    >>> def shop(apple, count, tax):
    ...     payment = apple * count * tax
    ...     payment.name = "payment"
    ...     return [payment, *tg.grad(payment, [apple, count, tax])]
    >>> program = rewrite(trace(shop, {"apple": 100.0, "count": 2.0, "tax": 1.1}, name="shop"))
    >>> print(numpy_source(program)[0])
    import numpy as np
    <BLANKLINE>
    <BLANKLINE>
    def shop(apple, count, tax):
        dtax = apple * count
        payment = dtax * tax
        # backward
        dapple = tax * count
        dcount = tax * apple
        return payment, dapple, dcount, dtax
    >>> [round(float(x), 9) for x in executable(program)(100.0, 2.0, 1.1)]
    [220.0, 2.2, 110.0, 200.0]
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tarograd.compiler.numpy_text import ATOM, HELPERS, WRITERS, Text, dtype_text, number_text
from tarograd.compiler.program import Program, Value, shortest, uniform
from tarograd.graph import Array, Group
from tarograd.ops import matmul, shape

WIDTH = 96  # of a line of source
_CHEAP = (shape.transpose, shape.repeat)  # views, written where they are used
_BIG = 64  # elements of a constant that is handed over rather than written out


@dataclass
class Source:
    """The source being written.

    Attributes:
        lines: the body of the function so far.
        constants: arrays too large to be written out, and functions of one's own, by their names.
    """

    program: Program
    lines: list[str] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Finds the order, what is written within another line, and the line of each use."""
        self.order = [v for v in sections(self.program) if v.primitive is not None]
        self.uses: Counter[int] = Counter(id(x) for v in self.order for x in v.operands)
        self.uses.update(id(v) for v in self.program.outputs.values())
        self.users: dict[int, list[Value]] = {}
        for v in self.order:
            for x in v.operands:
                self.users.setdefault(id(x), []).append(v)
        self.texts: dict[int, Text] = {}
        self.shared: dict[str | None, str] = {}  # constants with a line of their own
        self.written: set[int] = set()
        self.taken = {"np", "constants", *HELPERS, *keyword.kwlist}
        self.labels = {v: k for k, v in reversed([*self.program.outputs.items()]) if v.primitive}
        for name, v in self.program.inputs.items():
            self.texts[id(v)] = (ATOM, self._free(name))
        self.arguments = [self.texts[id(v)][1] for v in self.program.inputs.values()]

    def _free(self, wanted: str) -> str:
        """A name that nothing else has."""
        name = base = re.sub(r"\W", "_", wanted) or "v"
        base = name = f"v{base}" if base[0].isdigit() else base
        number = 1
        while name in self.taken:
            number += 1
            name = f"{base}{number}" if not base[-1].isdigit() else f"{base}_{number}"
        self.taken.add(name)
        return name

    def text(self, x: Any) -> Text:
        """An input of an operation as an expression."""
        if not isinstance(x, Value):
            return number_text(x)
        if id(x) not in self.texts:
            self.texts[id(x)] = (ATOM, self._constant(x))
        return self.texts[id(x)]

    def _constant(self, v: Value) -> str:
        array = v.array
        assert array is not None
        text = _literal(array)
        if text is not None and len(text) <= WIDTH - 40:
            return text
        if text not in self.shared:  # by its text, which is None for each large one
            name = self._free("constant")
            if text is None:
                self.constants[name] = array
                return name
            self.lines.insert(0, f"{name} = {text}")
            self.shared[text] = name
        return self.shared[text]

    def expression(self, v: Value) -> Text:
        """The computation of one value."""
        assert v.primitive is not None
        if v.primitive not in WRITERS:
            return self._own(v, [self.text(x) for x in v.inputs])
        if self._turned(v):
            return ATOM, f"{self.text(v.operands[0].operands[0])[1]}.T"
        texts = [self.text(x) for x in self._bare(v)]
        return WRITERS[v.primitive](v, texts)

    def _bare(self, v: Value) -> list[Any]:
        """Its inputs without the Repeat nodes that do what NumPy does by itself."""
        assert v.primitive is not None
        bare = [
            x.operands[0] if isinstance(x, Value) and x.is_op(shape.repeat) else x for x in v.inputs
        ]
        if v.primitive.elementwise:
            shapes = [x.shape for x in bare if isinstance(x, Value)]
            return bare if np.broadcast_shapes(*shapes) == v.shape else [*v.inputs]
        if not v.is_op(matmul.matmul):
            return [*v.inputs]
        pairs = zip(bare, v.operands, reversed(v.operands), strict=True)
        return [x if _stacked(x, given, other) else given for x, given, other in pairs]

    def _turned(self, v: Value) -> bool:
        """Whether it is one matrix for all of a stack, transposed, and only multiplied."""
        if not v.is_op(shape.transpose) or not v.operands[0].is_op(shape.repeat):
            return False
        matrix, n = v.operands[0].operands[0], len(v.shape)
        if len(matrix.shape) != 2 or v.attributes["axes"] != (*range(n - 2), n - 1, n - 2):
            return False
        users = self.users.get(id(v), [])
        return self.uses[id(v)] == len(users) and all(
            u.is_op(matmul.matmul) and any(_stacked(matrix, v, x) for x in u.operands if x is not v)
            for u in users
        )

    def _own(self, v: Value, texts: list[Text]) -> Text:
        """A primitive of the user's own: a call of its forward, which is handed over."""
        assert v.primitive is not None
        forward = v.primitive.forward
        names = [name for name, held in self.constants.items() if held is forward]
        name = names[0] if names else self._free(v.primitive.name)
        self.constants[name] = forward
        given = [text for _, text in texts] + [f"{k}={a!r}" for k, a in v.attributes.items()]
        return ATOM, f"{name}({', '.join(given)})"

    def write(self) -> None:
        """Write one line after the other."""
        section = None
        for v in self.order:
            self._operands(v)
            text = self.expression(v)
            if self._inlined(v, text):
                self.texts[id(v)] = text
                continue
            if v.group is not section and v.group is not None:
                section = v.group
                self.lines.append(_heading(section))
            self.written.add(id(v))
            name = self._name(v)
            self.lines.append(f"{name} = {text[1]}")
            self.texts[id(v)] = (ATOM, name)
        self.results = [self.text(v)[1] for v in self.program.outputs.values()]

    def _operands(self, v: Value) -> None:
        """Give a line of its own to what was to be written within this one, but is too long."""
        while len(self.expression(v)[1]) > WIDTH - 30:
            parts = [x for x in v.operands if x.primitive and id(x) not in self.written]
            parts = [x for x in parts if not x.is_op(shape.repeat)]
            if not parts:
                return
            longest = max(parts, key=lambda x: len(self.texts[id(x)][1]))
            name = self._free(longest.name or "part")
            self.lines.append(f"{name} = {self.texts[id(longest)][1]}")
            self.written.add(id(longest))
            self.texts[id(longest)] = (ATOM, name)

    def _inlined(self, v: Value, text: Text) -> bool:
        if v in self.labels or v.name is not None:
            return False
        simple = v.primitive in _CHEAP and all(c.isalnum() or c in "_.T" for c in text[1])
        elided = v.is_op(shape.repeat) and all(
            self._turned(u) or u.primitive.elementwise or all(x is not v for x in self._bare(u))
            for u in self.users.get(id(v), [])
            if u.primitive is not None
        )
        return simple or elided or (self.uses[id(v)] == 1 and len(text[1]) < WIDTH - 40)

    def _name(self, v: Value) -> str:
        """Its own name; an input's for the new value of that input, once the old one is unused."""
        label = self.labels.get(v) or (v.name if v.name in self.program.inputs else None)
        old = self.program.inputs.get(label) if label else None
        if old is None:
            assert v.primitive is not None
            return self._free(v.name or label or v.primitive.name.removesuffix("_to"))
        returned = any(result is old for result in self.program.outputs.values())
        if not returned and all(self._done(user) for user in self.users.get(id(old), [])):
            return self.texts[id(old)][1]
        return self._free(f"new_{label}")

    def _done(self, v: Value) -> bool:
        """Whether nothing that is still to be written computes this value."""
        if id(v) in self.written:
            return True
        users = self.users.get(id(v), [])
        return id(v) in self.texts and all(self._done(user) for user in users)


def _literal(array: Array) -> str | None:
    """An array as it is written; None if it is large, or holds what is no number."""
    dtype, number = dtype_text(array.dtype), None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return None
    if array.ndim and array.dtype == np.int64 and (array.ravel() == np.arange(array.size)).all():
        shaped = f".reshape({array.shape})" if array.ndim > 1 else ""
        return f"np.arange({array.size}){shaped}"
    if array.ndim and array.size > 2:
        number = uniform(array)
    if number is not None or array.size == 0:
        filled = {0: "zeros", 1: "ones"}.get(number or 0)
        text = f"np.{filled}({array.shape}" if filled else f"np.full({array.shape}, {number!r}"
        return f"{text}, {dtype})"
    if array.ndim == 0:
        return f"{dtype}({shortest(array[()])!r})"
    return _listed(array, dtype) if array.size <= _BIG else None


def _listed(array: Array, dtype: str) -> str:
    """Its elements, row by row if they are many."""
    plain = array.astype(int) if array.dtype == bool else array
    numbers = np.array([shortest(x) for x in plain.ravel()], object).reshape(array.shape).tolist()
    text = f"np.array({numbers}, {dtype})"
    if len(text) <= WIDTH - 20 or array.ndim == 1:
        return text
    rows = "".join(f"        {row},\n" for row in numbers)
    return f"np.array([\n{rows}    ], {dtype})"


def _stacked(x: Value, repeated: Value, other: Value) -> bool:
    """Whether a product with `other` repeats these matrices by itself, along a stack of them."""
    matrices = len(x.shape) >= 2 and sorted(x.shape[-2:]) == sorted(repeated.shape[-2:])
    return matrices and other.shape[:-2] == repeated.shape[:-2]


def _heading(section: Group) -> str:
    """The comment above the lines of a layer; the network's own name is left out."""
    path = section.path().split(".")
    name = ".".join(path[1:] or path)
    if not section.kind or name.startswith("_"):
        return f"# {section.kind or name}"
    return f"# {name} ({section.kind})"


def sections(program: Program) -> list[Value]:
    """The values in order: first the groups that the first output needs, then the others."""
    order = program.order()
    rank = {id(v): int(v.group is not None and v.group.kind == "") for v in order}
    rank |= {id(v): 2 for v in order if v.group is not None and v.group.name == "update"}
    for v in reversed(order):
        for x in v.operands:
            rank[id(x)] = min(rank[id(x)], rank[id(v)])
    return sorted(order, key=lambda v: rank[id(v)])


def numpy_source(program: Program) -> tuple[str, dict[str, Any]]:
    """The program as the text of a Python module, and the constants that it refers to by name.

    Example:
        >>> from tarograd.compiler.trace import trace
        >>> def shop(apple, count, tax):
        ...     return apple * count * tax
        >>> program = trace(shop, {"apple": 100.0, "count": 2.0, "tax": 1.1}, name="shop")
        >>> print(numpy_source(program)[0])
        import numpy as np
        <BLANKLINE>
        <BLANKLINE>
        def shop(apple, count, tax):
            result = apple * count * tax
            return result
    """
    source = Source(program)
    source.write()
    body = "\n".join(f"    {line}" for line in source.lines)
    end = f"    return {', '.join(source.results)}"
    if len(end) > WIDTH and len(source.results) > 1:
        end = "    return (\n        " + ",\n        ".join(source.results) + ",\n    )"
    text = "\n".join([_signature(program.name, source.arguments), *filter(None, [body]), end])
    head = [
        f"# {name}: {'a function' if callable(a) else f'an array of shape {a.shape}'}"
        for name, a in source.constants.items()
    ]
    parts = [*_helpers(text), text]
    return "\n\n\n".join(["\n".join(["import numpy as np", *head]), *parts]), source.constants


def _signature(name: str, arguments: list[str]) -> str:
    line = f"def {name}({', '.join(arguments)}):"
    if len(line) <= WIDTH:
        return line
    return f"def {name}(\n    " + ",\n    ".join(arguments) + ",\n):"


def _helpers(text: str) -> list[str]:
    """The definitions that the text calls, and those that they call."""
    needed: list[str] = []
    for name, helper in reversed(HELPERS.items()):
        if re.search(rf"(?<![\w.]){name}\(", text):
            text += helper
            needed.insert(0, helper.strip("\n"))
    return needed


def executable(program: Program) -> Callable[..., tuple[Array, ...]]:
    """The function that the source defines; it gives a tuple of arrays, one for each output.

    Example:
        >>> from tarograd.compiler.trace import trace
        >>> double = trace(lambda apple: apple * 2, {"apple": 100.0})
        >>> executable(double)(np.float64(3.0))
        (array(6.),)
    """
    text, constants = numpy_source(program)
    namespace: dict[str, Any] = dict(constants)
    exec(compile(text, f"<{program.name}>", "exec"), namespace)
    function = namespace[program.name]
    results = list(program.outputs.values())

    def run(*arguments: Any) -> tuple[Array, ...]:
        given = function(*arguments)
        given = given if len(results) > 1 else (given,)
        return tuple(np.asarray(x) for x in given)

    return run
