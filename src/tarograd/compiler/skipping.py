"""Skip zeros: a product whose left factor is mostly zeros visits only what is not zero.

Where x is 0 it adds 0 to every element of x @ w and of x.T @ g: nothing, if w and g are finite. So
the rows of the left factor are taken in bands of a few, and each band has a list of the places at
which any of its rows is not zero; the inner loop of the product goes over this list:

    x = [[0, 7, 0, 0],      bits = [0b0010, 0b0110]       visits of the band of both rows, with
         [0, 5, 3, 0]]      (by columns, lowest first)    their number in front: [2, 1, 2]

The places are visited in the same order as all of them would be, so the result has the same bits.
Images of pen strokes are like that, and neighboring pixels are zero together, as are the pixels
near the border in all images.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from math import prod

import numpy as np

from tarograd.compiler.layout import FIRST_CACHE
from tarograd.compiler.program import Program, Value, rebuilt
from tarograd.graph import Array, Primitive
from tarograd.ops import arithmetic, elementwise, matmul, shape

KEEPS_ZERO = (shape.index, shape.reshape, elementwise.cast, arithmetic.divide, arithmetic.multiply)
# Rows in a band, of x and of x.T: more of them share what is read, fewer have more zeros in common.
HEIGHTS = (3, 2)
# A place that is visited takes longer than one in a row: with 0.6 to 0.7 of them nothing is won.
PAYS = 0.6
SAMPLE = 512  # images that are looked at
MANY = 32  # places that are looked at together, where a vector has room for their numbers


def _nonzero(x: Array, *, lanes: int) -> Array:
    """Bit l of [c, i] says whether x[i, c lanes + l] is not zero; as the kernel stores it."""
    rows, columns = x.shape
    chunks = -(-columns // lanes)
    padded = np.zeros((rows, chunks * lanes), bool)
    padded[:, :columns] = x != 0
    weights = 1 << np.arange(lanes)
    found = (padded.reshape(rows, chunks, lanes) * weights).sum(axis=2)
    return np.ascontiguousarray(found.T.astype(_bits(lanes)))


def _visits(bits: Array, *, lanes: int, height: int, axis: int) -> Array:
    """In each row the number of visits, then the places; there is room for a vector behind."""
    chunks, rows = bits.shape
    set_here = (bits[:, :, None] >> np.arange(lanes)) & 1
    x = set_here.transpose(1, 0, 2).reshape(rows, chunks * lanes)
    x = x.T if axis else x
    listed = np.zeros((-(-len(x) // height), 1 + x.shape[1] + lanes), _numbers(lanes))
    for band, line in enumerate(listed):
        places = np.flatnonzero(x[band * height : (band + 1) * height].any(axis=0))
        line[0], line[1 : 1 + len(places)] = len(places), places
    return listed


def _bits(lanes: int) -> np.dtype[np.unsignedinteger]:
    return np.dtype(f"u{max(lanes, 8) // 8}")


def _numbers(lanes: int) -> np.dtype[np.unsignedinteger]:
    """Of places; the lanes fill a vector."""
    return np.dtype(np.uint16 if lanes == MANY else np.uint32)


# What becomes of bytes, in a table of what becomes of each.
lookup = Primitive(name="lookup", symbol="[ ]", forward=lambda table, places: table[places])
nonzero = Primitive(name="nonzero", symbol="≠ 0", forward=_nonzero)
visits = Primitive(name="visits", symbol="≠ 0", forward=_visits)


def skip_zeros(program: Program, sparse: Collection[str], lanes: int) -> Program:
    """Give each product of something mostly zero the list of what it has to visit.

    Args:
        program: lowered.
        sparse: the inputs that are mostly zeros, by name.
        lanes: how many places are looked at together: those of a vector register for float32,
            or `MANY`.

    Returns:
        the program with a third operand, a `visits`, for some of its products.

    Example:
        >>> from tarograd.compiler.trace import trace
        >>> shop = lambda orders, prices: (orders / 2) @ prices
        >>> given = {"orders": np.zeros((6, 32)), "prices": np.ones((32, 3))}
        >>> print(skip_zeros(trace(shop, given), ["orders"], lanes=16))
        v0 = input orders(6, 32) float64
        v1 = divide(v0, 2) (6, 32) float64
        v2 = input prices(32, 3) float64
        v3 = nonzero(v1) {'lanes': 16}(2, 6) uint16
        v4 = visits(v3) {'lanes': 16, 'height': 3, 'axis': 0}(2, 49) uint32
        v5 = matmul(v1, v2, v4) {'height': 3}(6, 3) float64
        return v5
    """
    zeros = {id(program.inputs[name]) for name in sparse}
    made: dict[tuple[int, int], Value] = {}
    looked: dict[int, Value | None] = {}

    def change(value: Value, inputs: tuple[Value, ...]) -> Value:
        v = replace(value, inputs=inputs)
        if v.primitive in KEEPS_ZERO and id(v.inputs[0]) in zeros:
            zeros.add(id(v))
        if not v.is_op(matmul.matmul):
            return v
        x, axis = inputs[0], 0
        if x.is_op(shape.transpose) and tuple(x.attributes["axes"]) == (1, 0):
            x, axis = x.operands[0], 1
        n = lanes
        if n == MANY and (x.shape[-1] < 2 * n or max(x.shape) > 2**16 - n):
            n //= 2
        if id(x) not in zeros or not _suits(x, n):
            return v
        if id(x) not in looked:
            looked[id(x)] = looked_up(x)
        left = looked[id(x)] or x
        given = left.operands[1] if left is not x else x
        if (id(x), axis) not in made:
            bits = next((m.operands[0] for (i, _), m in made.items() if i == id(x)), None)
            made[id(x), axis] = _listed(given, bits, axis, n)
        height = {"height": HEIGHTS[axis]}
        left = replace(inputs[0], inputs=(left,)) if axis else left
        return replace(v, inputs=(left, inputs[1], made[id(x), axis]), attributes=height)

    return rebuilt(program, change)


def looked_up(x: Value) -> Value | None:
    """An array of what bytes become, as a table of what each byte becomes; None for others.

    Bytes take a quarter of the room of floats, of which many do not stay in the first cache.
    """
    if prod(x.shape) * x.dtype.itemsize <= FIRST_CACHE:
        return None
    steps, v = [], x
    while v.primitive in KEEPS_ZERO and v.dtype != np.uint8 and len(v.operands) == 1:
        steps.append(v)
        v = v.operands[0]
    if v.dtype != np.uint8 or v.primitive is None:
        return None
    array = np.arange(256, dtype=np.uint8)
    for step in reversed(steps):
        assert step.primitive is not None
        given = [array if isinstance(i, Value) else i for i in step.inputs]
        array = step.primitive.forward(*given, **step.attributes)
    if array[0] or not array[1:].all():
        return None
    table = Value(array.shape, array.dtype, array=array)
    return Value(x.shape, x.dtype, lookup, (table, v), group=x.group)


def _suits(x: Value, lanes: int) -> bool:
    """Whether a kernel computes it, in whole vectors."""
    long = len(x.shape) == 2 and x.shape[0] > 0 and x.shape[1] >= 2 * lanes
    return long and x.primitive is not None and x.dtype.kind == "f" and lanes >= max(HEIGHTS)


def _listed(x: Value, bits: Value | None, axis: int, lanes: int) -> Value:
    """The lists of `x`, or of `x` turned over."""
    rows, columns = x.shape
    chunks = -(-columns // lanes)
    bits = bits or Value(
        (chunks, rows), _bits(lanes), nonzero, (x,), {"lanes": lanes}, group=x.group
    )
    height = HEIGHTS[axis]
    bands = chunks * lanes // height if axis else -(-rows // height)
    length = rows if axis else chunks * lanes
    how = {"lanes": lanes, "height": height, "axis": axis}
    dims = (bands, 1 + length + lanes)
    return Value(dims, _numbers(lanes), visits, (bits,), how, group=x.group)


def visited(images: Array) -> float:
    """The share of the places that products of the images would visit, the larger of the two.

    Args:
        images: the training set, shape (n, …).

    Returns:
        from 0 to 1, by a look at some of them; 1 for too few.
    """
    rows, columns = HEIGHTS
    x = images[:: max(1, len(images) // SAMPLE)]
    x = x.reshape(len(x), int(np.prod(x.shape[1:]))) != 0
    x = x[: len(x) // rows * rows, : x.shape[1] // columns * columns]
    if not x.size:
        return 1.0
    of_rows = x.reshape(-1, rows, x.shape[1]).any(axis=1).mean()
    of_columns = x.reshape(len(x), -1, columns).any(axis=2).mean()
    return float(max(of_rows, of_columns))


def pays(images: Array) -> bool:
    """Whether enough of the images is zero to leave it out.

    Example:
        >>> pays(np.eye(64)), pays(np.ones((64, 64)))
        (True, False)
    """
    return visited(images) < PAYS
