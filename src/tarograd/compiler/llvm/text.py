"""LLVM's language, written line by line: types, constants, functions, and a builder of lines.

What there is has the names that it has in `llvmlite.ir`, which builds an object for each word and
prints it in the end: that took twice as long as LLVM takes to translate the text.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np


class Type:
    """A type of `width` bits; two of the same text are equal."""

    __slots__ = ("text", "width")

    def __init__(self, text: str, width: int = 0) -> None:
        self.text, self.width = text, width

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def written(self, number: Any) -> str:
        """A constant of this type; a float of either size is written as the bits of a float64."""
        if self not in (FLOAT, DOUBLE):
            return str(int(number))
        number = float(np.float32(number)) if self == FLOAT else number
        return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016x}"


FLOAT, DOUBLE = Type("float", 32), Type("double", 64)
POINTER, VOID = Type("ptr"), Type("void")  # the address of anything; nothing


def integer(width: int) -> Type:
    """Whole numbers of so many bits."""
    return Type(f"i{width}", width)


class VectorType(Type):
    """`count` elements that are worked on at once."""

    __slots__ = ("count", "element")

    def __init__(self, element: Type, count: int) -> None:
        super().__init__(f"<{count} x {element}>")
        self.element, self.count = element, count

    def written(self, number: Any) -> str:
        """The number in all lanes."""
        if not number and str(number) != "-0.0":
            return "zeroinitializer"
        return f"<{', '.join([f'{self.element} {self.element.written(number)}'] * self.count)}>"


class Value:
    """Something with a type and a name, as it stands among the arguments of an instruction."""

    __slots__ = ("name", "type", "typed")

    def __init__(self, kind: Type, name: str) -> None:
        self.type, self.name = kind, name
        self.typed = f"{kind.text} {name}"


Undefined = object()


@lru_cache(maxsize=4096)
def _written(kind: Type, number: Any, exact: str) -> str:  # `exact` tells 0.0 from -0.0
    return kind.written(number)


class Constant(Value):
    """A number, the same in all lanes of a vector; a list of Constants for them; or Undefined."""

    __slots__ = ("constant",)

    def __init__(self, kind: Type, constant: Any) -> None:
        self.constant = constant
        if constant is Undefined:
            text = "undef"
        elif isinstance(constant, list):
            text = f"<{', '.join([c.typed for c in constant])}>"
        else:
            text = _written(kind, constant, repr(constant))
        super().__init__(kind, text)


class Argument(Value):
    """An argument of a function, with what LLVM may assume about it."""

    __slots__ = ("attributes",)

    def __init__(self, kind: Type, name: str) -> None:
        super().__init__(kind, name)
        self.attributes = ""

    def add_attribute(self, attribute: str) -> None:
        """Such as noalias."""
        self.attributes += f" {attribute}"

    def __str__(self) -> str:
        return f"{self.type}{self.attributes} {self.name}"


class Phi(Value):
    """A value that depends on where the control came from."""

    __slots__ = ("incoming",)

    def __init__(self, kind: Type, name: str) -> None:
        super().__init__(kind, name)
        self.incoming: list[tuple[Value, Block]] = []

    def add_incoming(self, value: Value, block: Block) -> None:
        """`value`, if the control comes from `block`."""
        self.incoming.append((value, block))

    def __str__(self) -> str:
        ways = ", ".join(f"[ {v.name}, %{block.name} ]" for v, block in self.incoming)
        return f"{self.name} = phi {self.type} {ways}"


class Block:
    """Instructions in a row, and how the control leaves them.

    Attributes:
        outer: of a block in a loop, the one from which the control comes into the loop.
        certain: whether the loop is gone through at least once.
        depth: in how many loops it is.
    """

    def __init__(self, function: Function, name: str) -> None:
        self.function, self.name = function, name
        self.lines: list[str | Phi] = []
        self.found: dict[str, Value] = {}
        self.end = "unreachable"
        self.enter(None)

    def enter(self, outer: Block | None, certain: bool = False) -> None:
        """Let it be in a loop that is reached from `outer`."""
        self.outer, self.certain = outer, certain
        self.depth: int = 0 if outer is None else outer.depth + 1

    def __str__(self) -> str:
        return "\n  ".join([f"{self.name}:", *map(str, self.lines), self.end])


class Module:
    """All functions of a text, by name."""

    def __init__(self, triple: str = "") -> None:
        self.triple = triple  # LLVM's name of the machine and its system
        self.globals: dict[str, Function] = {}

    def __str__(self) -> str:
        head = f'target triple = "{self.triple}"'
        return "\n\n".join([head, *map(str, self.globals.values())]) + "\n"


class Function(Value):
    """A function; one without blocks is a `text` that is given, or comes from elsewhere."""

    def __init__(
        self, module: Module, result: Type, arguments: Sequence[Type], name: str, text: str = ""
    ) -> None:
        super().__init__(POINTER, f"@{name}")
        module.globals[name] = self
        self.module, self.result, self.linkage, self.text = module, result, "", text
        self.args = [Argument(t, f"%a{i}") for i, t in enumerate(arguments)]
        self.blocks: list[Block] = []
        self.depths: dict[str, int] = {}  # in how many loops each value is made, by its name

    def append_basic_block(self, name: str = "block") -> Block:
        """Start a block behind the others."""
        self.blocks.append(Block(self, f"{name}{len(self.blocks)}"))
        return self.blocks[-1]

    def new_name(self, depth: int) -> str:
        """The name of the next value."""
        name = f"%v{len(self.depths) + 1}"
        self.depths[name] = depth
        return name

    def __str__(self) -> str:
        if self.text:
            return self.text
        if not self.blocks:
            kinds = ", ".join(a.type.text for a in self.args)
            return f"declare {self.result} {self.name}({kinds})"
        arguments = ", ".join(map(str, self.args))
        head = f"define {self.linkage} {self.result} {self.name}({arguments}) {{"
        return "\n".join([head, *map(str, self.blocks), "}"])


def _binary(name: str) -> Callable[[IRBuilder, Value, Value], Value]:
    return lambda b, x, y: b.emit(x.type, f"{name} {x.typed}, {y.name}")


def _cast(name: str) -> Callable[[IRBuilder, Value, Type], Value]:
    return lambda b, x, kind: b.emit(kind, f"{name} {x.typed} to {kind.text}")


def _like(truth: Type, x: Value) -> Type:
    return VectorType(truth, x.type.count) if isinstance(x.type, VectorType) else truth


AGAIN = ("load", "call", "alloca")  # what may give something else the second time
NAMES = re.compile(r"%v\d+")
SIGNS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


class IRBuilder:
    """Appends instructions to a block; each method is LLVM's instruction of that name."""

    def __init__(self, block: Block) -> None:
        self.block = block

    @property
    def module(self) -> Module:
        """That of the function that is being written."""
        return self.block.function.module

    def emit(self, kind: Type, text: str) -> Value:
        """Append an instruction that gives a value, unless it stands in the block already.

        What is the same in each round of a loop is computed before the loop.
        """
        if text.startswith(AGAIN):
            return self._append(self.block, kind, text)
        return self._once(kind, text, certain=False)

    def _once(self, kind: Type, text: str, certain: bool) -> Value:
        """Compute as far outside as all is known; perhaps not before a loop that may not be run."""
        block, depths = self.block, self.block.function.depths
        depth = max([depths[name] for name in NAMES.findall(text)], default=0)
        anywhere = not certain or not depth
        while block.depth > depth and block.outer is not None and (block.certain or anywhere):
            block = block.outer
        if text not in block.found:
            block.found[text] = self._append(block, kind, text)
        return block.found[text]

    def _append(self, block: Block, kind: Type, text: str) -> Value:
        name = block.function.new_name(block.depth)
        block.lines.append(f"{name} = {text}")
        return Value(kind, name)

    add, sub, mul, udiv, urem = map(_binary, ("add", "sub", "mul", "udiv", "urem"))
    sdiv, srem, frem = map(_binary, ("sdiv", "srem", "frem"))
    shl, lshr, ashr = map(_binary, ("shl", "lshr", "ashr"))
    and_, or_, xor = map(_binary, ("and", "or", "xor"))
    fadd, fsub, fmul, fdiv = map(_binary, ("fadd", "fsub", "fmul", "fdiv"))
    zext, sext, trunc, fpext = map(_cast, ("zext", "sext", "trunc", "fpext"))
    fptrunc, bitcast, fptosi = map(_cast, ("fptrunc", "bitcast", "fptosi"))
    sitofp, uitofp = map(_cast, ("sitofp", "uitofp"))

    def neg(self, x: Value) -> Value:
        """-x of a whole number."""
        return self.emit(x.type, f"sub {x.type} zeroinitializer, {x.name}")

    def fneg(self, x: Value) -> Value:
        """-x."""
        return self.emit(x.type, f"fneg {x.typed}")

    def _compare(self, kind: str, x: Value, y: Value) -> Value:
        return self.emit(_like(integer(1), x), f"{kind} {x.typed}, {y.name}")

    def icmp_signed(self, sign: str, x: Value, y: Value) -> Value:
        """Compare whole numbers with a sign."""
        kind = SIGNS[sign] if sign in ("==", "!=") else f"s{SIGNS[sign]}"
        return self._compare(f"icmp {kind}", x, y)

    def icmp_unsigned(self, sign: str, x: Value, y: Value) -> Value:
        """Compare whole numbers without one."""
        kind = SIGNS[sign] if sign in ("==", "!=") else f"u{SIGNS[sign]}"
        return self._compare(f"icmp {kind}", x, y)

    def fcmp_ordered(self, sign: str, x: Value, y: Value) -> Value:
        """False where one is NaN; "ord" asks whether none is."""
        return self._compare(f"fcmp {'o' + SIGNS[sign] if sign in SIGNS else sign}", x, y)

    def fcmp_unordered(self, sign: str, x: Value, y: Value) -> Value:
        """True where one is NaN; "uno" asks whether one is."""
        return self._compare(f"fcmp {'u' + SIGNS[sign] if sign in SIGNS else sign}", x, y)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """X where the condition holds, else y."""
        return self.emit(x.type, f"select {condition.typed}, {x.typed}, {y.typed}")

    def insert_element(self, vector: Value, x: Value, i: Value) -> Value:
        """The vector with x in lane i."""
        return self.emit(vector.type, f"insertelement {vector.typed}, {x.typed}, {i.typed}")

    def extract_element(self, vector: Value, i: Value) -> Value:
        """The lane i."""
        assert isinstance(vector.type, VectorType)
        return self.emit(vector.type.element, f"extractelement {vector.typed}, {i.typed}")

    def shuffle_vector(self, x: Value, y: Value, mask: Value) -> Value:
        """The lanes of x and then of y whose numbers stand in the mask."""
        assert isinstance(x.type, VectorType)
        assert isinstance(mask.type, VectorType)
        kind = VectorType(x.type.element, mask.type.count)
        return self.emit(kind, f"shufflevector {x.typed}, {y.typed}, {mask.typed}")

    def gep(self, pointer: Value, indices: Sequence[Value], source_etype: Type) -> Value:
        """The address so many elements behind another one."""
        places = ", ".join(i.typed for i in indices)
        return self.emit(pointer.type, f"getelementptr {source_etype}, {pointer.typed}, {places}")

    def load(
        self, pointer: Value, typ: Type, align: int | None = None, fixed: bool = False
    ) -> Value:
        """What stands at an address; `fixed` if the function never writes there."""
        text = f"load {typ}, {pointer.typed}" + (f", align {align}" if align else "")
        return self._once(typ, text, certain=True) if fixed else self.emit(typ, text)

    def store(self, value: Value, pointer: Value, align: int | None = None) -> None:
        """Write to an address."""
        aligned = f", align {align}" if align else ""
        self.block.lines.append(f"store {value.typed}, {pointer.typed}{aligned}")

    def call(self, function: Function, arguments: Sequence[Value]) -> Value:
        """What the function gives."""
        given = ", ".join(a.typed for a in arguments)
        text = f"call {function.result} {function.name}({given})"
        if function.result is VOID:
            self.block.lines.append(text)
            return function
        return self.emit(function.result, text)

    def call_known(self, name: str, result: Type, arguments: Sequence[Value]) -> Value:
        """What one of LLVM's own functions gives, which is declared if it is not yet."""
        known = self.module.globals.get(name)
        known = known or Function(self.module, result, [a.type for a in arguments], name)
        return self.call(known, arguments)

    def phi(self, kind: Type) -> Phi:
        """A value whose ways of coming here are told later."""
        phi = Phi(kind, self.block.function.new_name(self.block.depth))
        self.block.lines.append(phi)
        return phi

    def branch(self, target: Block) -> None:
        """Go on there."""
        self.block.end = f"br label %{target.name}"

    def cbranch(self, condition: Value, yes: Block, no: Block) -> None:
        """Go on here or there."""
        self.block.end = f"br {condition.typed}, label %{yes.name}, label %{no.name}"

    def ret(self, x: Value | None = None) -> None:
        """Return a value, or nothing."""
        self.block.end = "ret void" if x is None else f"ret {x.typed}"

    def append_basic_block(self, name: str = "block") -> Block:
        """Start a block behind the others, in the same loop."""
        block = self.block.function.append_basic_block(name)
        block.enter(self.block.outer, self.block.certain)
        return block

    def position_at_end(self, block: Block) -> None:
        """Go on writing there."""
        self.block = block

    @contextmanager
    def goto_entry_block(self) -> Iterator[None]:
        """Write at the end of the function's first block for a while."""
        here, self.block = self.block, self.block.function.blocks[0]
        yield
        self.block = here
