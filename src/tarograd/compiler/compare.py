"""Compare: what the machine code computes, held against NumPy, and the first node that differs.

How far two right results may differ depends on the function: in a - b of two large numbers the
last bit of each is much of the result. So it is measured: the program is evaluated again with the
last bits of every value moved at random, and what that changes is what rounding may change. A sum
is moved by the last bits of its terms, of which there may be more than of the sum itself. If that
is not enough, it is tried more often: where a ReLU is given almost 0, a last bit decides whether it
lets the whole gradient through, and few tries may not show it. And eager code is no truth either: a
long sum that NumPy adds row by row can be the worse one, which is seen in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import prod
from typing import Any, NoReturn

import numpy as np

from tarograd.compiler.fusion import MOVERS
from tarograd.compiler.program import Program, Value
from tarograd.graph import Array
from tarograd.ops import matmul, reduction, shape

FACTOR = 16.0  # how much more than the moved bits the machine code may change
TRIES, MOST_TRIES = 2, 40
# Their terms may be much larger than they are.
SUMS = (
    matmul.matmul,
    matmul.affine,
    reduction.sum,
    reduction.mean,
    shape.sum_to,
    shape.scatter,
)


NAIVE = 1024  # terms that may be added one after the other, each rounded to the same side


def evaluated(
    program: Program, inputs: Mapping[str, Any], seed: int | None = None, wide: bool = False
) -> list[Array]:
    """Every value of `program.order()`, computed with NumPy one after the other.

    Args:
        program: what is evaluated.
        inputs: its arguments by name.
        seed: moves the last bits of every float that is computed at random.
        wide: computes all floats in float64.

    Example:
        >>> from tarograd.compiler.trace import trace
        >>> shop = trace(lambda apple, count: apple * count, {"apple": 100.0, "count": 2.0})
        >>> [float(x) for x in evaluated(shop, {"apple": 3.0, "count": 5.0})]
        [3.0, 5.0, 15.0]
    """
    rng = None if seed is None else np.random.default_rng(seed)
    places = {id(v): name for name, v in program.inputs.items()}
    known: dict[int, Any] = {}
    order = program.order()
    with np.errstate(all="ignore"):
        for v in order:
            given = [known[id(x)] if isinstance(x, Value) else x for x in v.inputs]
            if v.primitive is None:
                y = v.array if v.array is not None else np.asarray(inputs[places[id(v)]])
            else:
                y = np.asarray(v.primitive.forward(*given, **v.attributes))
                y = y if rng is None else _moved(v, y, given, rng)
            known[id(v)] = y.astype(np.float64) if wide and y.dtype.kind == "f" else y
    return [known[id(v)] for v in order]


def _moved(v: Value, y: Array, given: Sequence[Any], rng: np.random.Generator) -> Array:
    """The value with its last bits, those of the sum of the sizes of its terms, moved."""
    if y.dtype.kind != "f":
        return y
    size = y
    if v.primitive in SUMS:
        sizes = [abs(x) if np.asarray(x).dtype.kind == "f" else x for x in given]
        size = np.asarray(v.primitive.forward(*sizes, **v.attributes))
        size = size * max(1.0, min(_terms(v), NAIVE) / (2 * FACTOR))
    bits = np.finfo(y.dtype).eps * rng.integers(-1, 2, y.shape).astype(y.dtype)
    moved: Array = np.where(np.isfinite(size), y + bits * size, y).astype(y.dtype)
    return moved


def _terms(v: Value) -> float:
    """How many terms are added to an element of a sum."""
    x = v.operands[0]
    if v.primitive in (matmul.matmul, matmul.affine):
        return float(x.shape[-1])
    return prod(x.shape) / max(prod(v.shape), 1)


def _distance(a: Array, b: Array) -> float:
    """How far two arrays are apart, in all; what is equally infinite or NaN does not count.

    What is NaN in one of them only is infinitely far: where 0 / 0 is computed, or almost, rounding
    decides about it, and moves the last bits to a number.
    """
    if a.dtype.kind != "f":
        return float(np.sum(a != b))
    with np.errstate(all="ignore"):
        difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
        difference = np.where(np.isnan(difference), np.inf, difference)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        return float(np.sqrt(np.sum(np.square(np.where(same, 0, difference)))))


def unequal(
    program: Program,
    inputs: Mapping[str, Any],
    values: Sequence[Value],
    found: Sequence[Array],
    expected: Sequence[Array],
) -> int | None:
    """The number of the first value that differs by more than rounding can do; None if none does.

    Args:
        program: of which these are values.
        inputs: its arguments by name.
        values: some of those of `program.order()`.
        found: what the machine code gave for them.
        expected: what eager code gave for them.
    """
    numbers = {id(v): i for i, v in enumerate(program.order())}
    places = [numbers[id(v)] for v in values]
    pairs = [(np.asarray(y), truth) for y, truth in zip(found, expected, strict=True)]
    apart = [_distance(y, truth) for y, truth in pairs]
    bits = [_last_bits(truth) for _, truth in pairs]
    plain, noise = evaluated(program, inputs), [0.0] * len(pairs)
    for seed in range(MOST_TRIES):
        moved = evaluated(program, inputs, seed)
        noise = [max(n, _distance(moved[k], plain[k])) for n, k in zip(noise, places, strict=True)]
        far = [i for i, n in enumerate(noise) if not apart[i] <= FACTOR * (n + bits[i])]
        if seed + 1 >= TRIES and not far:
            return None
    exact = evaluated(program, inputs, wide=True)
    for i in far:
        y, truth = (_distance(x, exact[places[i]]) for x in pairs[i])
        # Only if eager code has done the same, and is not the better one, it proves nothing.
        alike = _distance(plain[places[i]], pairs[i][1]) <= FACTOR * (noise[i] + bits[i])
        if not (alike and y <= 2 * truth):
            return i
    return None


def _last_bits(truth: Array) -> float:
    """How far an array is from one of which the last bits differ."""
    if truth.dtype.kind != "f":
        return 0.0
    finite = np.where(np.isfinite(truth), truth, 0)
    return float(np.finfo(truth.dtype).eps) * _distance(finite, np.zeros_like(truth))


def difference(
    program: Program, inputs: Mapping[str, Any], run: Callable[[Program], Sequence[Array]]
) -> str | None:
    """Say at which node the machine code first computes something else than NumPy.

    Args:
        program: lowered.
        inputs: its arguments by name.
        run: compiles a program and gives its outputs for the same arguments.

    Returns:
        the node with its layer, or None if each is right by itself.
    """
    order = program.order()
    inner = [v for v in order if v.primitive is not None and v.primitive not in MOVERS]
    outputs = {f"value{i}": v for i, v in enumerate(inner)}
    found = run(Program(program.name, program.inputs, outputs, program.checks))
    known = dict(zip(map(id, order), evaluated(program, inputs), strict=True))
    wrong = unequal(program, inputs, inner, found, [known[id(v)] for v in inner])
    return None if wrong is None else told(inner[wrong])


def refuse(
    message: str, program: Program, inputs: Mapping[str, Any], external: Collection[str]
) -> NoReturn:
    """Say that the machine code of a run computes something else, and where that begins.

    Args:
        message: what is different.
        program: lowered.
        inputs: its arguments by name.
        external: the names of those that are read where they are.

    Raises:
        ArithmeticError: always; it names the first node that differs, and the way out.
    """
    from tarograd.compiler.llvm.native import Native

    read = {name: inputs[name] for name in external}
    node = difference(program, inputs, lambda p: Native(p, read)(*(inputs[k] for k in p.inputs)))
    raise ArithmeticError(
        f"{message}; the first node that differs is {node or 'none by itself'}; please report "
        "this; compiled=False, or --eager, goes on without machine code"
    )


def told(v: Value) -> str:
    """A value as a user knows it: its primitive, name, layer and shape.

    Example:
        >>> import tarograd as tg
        >>> from tarograd.compiler.trace import trace
        >>> net = tg.nn.Sequential(tg.nn.Affine(3, 2))
        >>> named = {"w": net.parameters()[0], "b": net.parameters()[1]}
        >>> program = trace(net, {"x": np.ones((4, 3), np.float32)}, named)
        >>> told(program.outputs["result"])
        "affine 'a1' of shape (4, 2) in affine1"
    """
    name = f" {v.name!r}" if v.name else ""
    path = v.group.path().split(".") if v.group else []
    layer = f" in {'.'.join(path[1:] or path)}" if path else ""
    return f"{v.primitive.name if v.primitive else 'input'}{name} of shape {v.shape}{layer}"
