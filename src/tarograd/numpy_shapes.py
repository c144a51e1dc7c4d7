"""NumPy's functions that move elements, spelled with the primitives; see numpy_functions.py."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tarograd.graph import Operand
from tarograd.ops import elementwise
from tarograd.ops import shape as shapes

Axis = int | Sequence[int] | None


def axes_of(name: str, x: Any, axis: Axis) -> tuple[int, ...]:
    """`axis` as a tuple of axes counted from the front."""
    if axis is None:
        return tuple(range(x.ndim))
    try:
        return tuple(normalize_axis_tuple(_known(axis), x.ndim))
    except ValueError as error:
        raise np.exceptions.AxisError(f"{name}: axis={axis} for the shape {x.shape}") from error


def _known(axis: Any) -> Any:
    """The axis; a Tensor refuses to be one, which NumPy would keep to itself."""
    if isinstance(axis, Operand):
        operator.index(axis)  # type: ignore[arg-type]  # which is what raises
    return axis


def arrays_of(*given: Any) -> list[Any]:
    """Lists as arrays, and Python numbers as arrays in the dtype of the first float Tensor."""
    floats = (x.dtype for x in given if isinstance(x, Operand) and x.dtype.kind == "f")
    dtype = next(floats, None)
    return [
        x
        if isinstance(x, Operand | np.ndarray)
        else np.asarray(x, dtype if isinstance(x, int | float) else None)
        for x in given
    ]


def reshape(x: Any, shape: int | Sequence[int], order: str = "C") -> Any:
    """The same elements in another shape; one length may be -1."""
    if order != "C":
        raise TypeError(f"reshape: order={order!r}: only the row-major order 'C' has a rule")
    wanted = (int(shape),) if isinstance(shape, int | np.integer) else tuple(map(int, shape))
    size, known = math.prod(x.shape), math.prod(n for n in wanted if n != -1)
    if wanted.count(-1) == 1 and known:
        wanted = tuple(size // known if n == -1 else n for n in wanted)
    if any(n < 0 for n in wanted) or math.prod(wanted) != size:
        raise ValueError(f"reshape: the {size} elements of {x.shape} do not fill {shape}")
    return shapes.reshape(x, shape=wanted)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """The axes in another order, by default reversed."""
    order = range(x.ndim)[::-1] if axes is None else axes_of("transpose", x, axes)
    if len(order) != x.ndim:
        raise ValueError(f"transpose: {axes} does not name each axis of {x.shape} once")
    return shapes.transpose(x, axes=tuple(order))


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    (i,), (j,) = axes_of("swapaxes", x, axis1), axes_of("swapaxes", x, axis2)
    order = list(range(x.ndim))
    order[i], order[j] = j, i
    return transpose(x, order)


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Axes at other places; those that are not named keep their order."""
    sources, places = axes_of("moveaxis", x, source), axes_of("moveaxis", x, destination)
    if len(sources) != len(places):
        raise ValueError(f"moveaxis: {source} and {destination} are not equally many axes")
    rest = iter([i for i in range(x.ndim) if i not in sources])
    moved = dict(zip(places, sources, strict=True))
    return transpose(x, [moved[i] if i in moved else next(rest) for i in range(x.ndim)])


def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """New axes of length 1 at the places `axis` of the result."""
    count = x.ndim + np.size(axis)
    places = normalize_axis_tuple(_known(axis), count)
    lengths = iter(x.shape)
    return reshape(x, [1 if i in places else next(lengths) for i in range(count)])


def squeeze(x: Any, axis: Axis = None) -> Any:
    """Without the axes of length 1."""
    gone = axes_of("squeeze", x, axis)
    wrong = [] if axis is None else [i for i in gone if x.shape[i] != 1]
    if wrong:
        raise ValueError(f"squeeze: axis {wrong[0]} of {x.shape} is not of length 1")
    return reshape(x, [n for i, n in enumerate(x.shape) if n != 1 or i not in gone])


def ravel(x: Any) -> Any:
    """All elements in a row."""
    return reshape(x, math.prod(x.shape))


def broadcast_to(x: Any, shape: int | Sequence[int]) -> Any:
    """Repeat along new axes and along axes of length 1."""
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    try:
        fits = np.broadcast_shapes(x.shape, wanted) == wanted
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"broadcast_to: {x.shape} can't be repeated into {wanted}")
    return shapes.repeat(x, shape=wanted)


def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    """The arrays one after the other along an axis; `axis=None` flattens them first."""
    given = arrays_of(*arrays)
    if axis is None:
        return concatenate([ravel(x) for x in given])
    (along,) = axes_of("concatenate", given[0], axis)
    others = {(*x.shape[:along], *x.shape[along + 1 :], x.ndim) for x in given}
    if len(others) > 1:
        raise ValueError(
            f"concatenate: the shapes {_listed(given)} have to be equal but for axis {axis}"
        )
    return shapes.concatenate(*given, axis=along)


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """The arrays side by side along a new axis."""
    given = arrays_of(*arrays)
    if len({x.shape for x in given}) > 1:
        raise ValueError(f"stack: the shapes {_listed(given)} have to be equal")
    return shapes.stack(*given, axis=normalize_axis_index(axis, given[0].ndim + 1))


def _listed(arrays: Sequence[Any]) -> str:
    return " and ".join(str(x.shape) for x in arrays)


def flip(x: Any, axis: Axis = None) -> Any:
    """The elements in reverse order along some axes, by default along all."""
    turned = axes_of("flip", x, axis)
    return x[tuple(slice(None, None, -1 if i in turned else None) for i in range(x.ndim))]


def roll(x: Any, shift: int | Sequence[int], axis: Axis = None) -> Any:
    """The elements moved on by `shift` places; those that fall off the end come in at the start."""
    if axis is None:
        return reshape(roll(ravel(x), int(np.sum(shift)), 0), x.shape)
    axes = [axis] if isinstance(axis, int | np.integer) else list(axis)
    for along, by in zip(*np.broadcast_arrays(axes, shift), strict=True):
        (i,) = axes_of("roll", x, int(along))
        places = (np.arange(x.shape[i]) - by) % max(x.shape[i], 1)
        x = x[(slice(None),) * i + (places,)]
    return x


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """Parts along an axis: so many equal ones, or those that begin at the given places."""
    (i,) = axes_of("split", x, axis)
    length, places = x.shape[i], indices_or_sections
    if isinstance(places, int | np.integer):
        if places < 1 or length % places:
            raise ValueError(f"split: axis {axis} of {x.shape} has no {places} equal parts")
        places = range(length // places, length, length // places)
    ends = [0, *places, length]
    return [between(x, i, a, b) for a, b in pairwise(ends)]


def between(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """The elements from one place on, to before another one, along an axis."""
    return x[(*[slice(None)] * axis, slice(start, stop))]


def array_split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """As `split`, but of parts that are not quite equal the first ones have one element more."""
    (i,) = axes_of("array_split", x, axis)
    if not isinstance(indices_or_sections, int | np.integer):
        return split(x, indices_or_sections, i)
    parts = np.array_split(np.arange(x.shape[i]), indices_or_sections)
    return split(x, [int(end) for end in np.cumsum([len(part) for part in parts[:-1]])], i)


def rot90(x: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Any:
    """A quarter of a turn, `k` times, from the first of two axes to the second."""
    i, j = axes_of("rot90", x, axes)
    k = operator.index(k)
    if k % 4 == 2:
        return flip(x, (i, j))
    if k % 4 == 0:
        return x
    return swapaxes(flip(x, j), i, j) if k % 4 == 1 else flip(swapaxes(x, i, j), j)


def rollaxis(x: Any, axis: int, start: int = 0) -> Any:
    """An axis at the place before which `start` stands."""
    (i,), (place,) = axes_of("rollaxis", x, axis), normalize_axis_tuple(start, x.ndim + 1)
    return moveaxis(x, i, place - (place > i))


def repeat(x: Any, repeats: int | Sequence[int], axis: int | None = None) -> Any:
    """Each element so many times, one copy after the other; `axis=None` flattens first."""
    if axis is None:
        return repeat(ravel(x), repeats, 0)
    (i,) = axes_of("repeat", x, axis)
    if not isinstance(repeats, int | np.integer):
        return take(x, np.repeat(np.arange(x.shape[i]), repeats), i)
    if repeats < 0:
        raise ValueError(f"repeat: {repeats} times: a number from 0 up is needed")
    before, after = x.shape[: i + 1], x.shape[i + 1 :]
    copies = broadcast_to(expand_dims(x, i + 1), (*before, repeats, *after))
    return reshape(copies, (*before[:i], before[i] * repeats, *after))


def tile(x: Any, reps: int | Sequence[int]) -> Any:
    """The whole array so many times along each axis; `reps` belong to the last axes."""
    times = [reps] if isinstance(reps, int | np.integer) else list(reps)
    rank = max(x.ndim, len(times))
    times, lengths = [1] * (rank - len(times)) + times, [1] * (rank - x.ndim) + list(x.shape)
    parts = reshape(x, [n for length in lengths for n in (1, length)])
    wanted = [n for pair in zip(times, lengths, strict=True) for n in pair]
    shape = [n * length for n, length in zip(times, lengths, strict=True)]
    return reshape(broadcast_to(parts, wanted), shape)


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The elements at the places `indices` along an axis; `axis=None` flattens first."""
    if axis is None:
        return take(ravel(x), indices, 0)
    (i,) = axes_of("take", x, axis)
    (places,) = arrays_of(indices)
    return x[(slice(None),) * i + (places,)]


def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Any:
    """For each row along an axis its own elements, such as the score of each sample's label."""
    if axis is None:
        return take(x, indices)
    (i,) = axes_of("take_along_axis", x, axis)
    if indices.ndim != x.ndim:
        raise ValueError(
            f"take_along_axis: indices of the shape {indices.shape} need as many axes as {x.shape}"
        )
    key: list[Any] = list(np.ix_(*map(np.arange, x.shape)))
    key[i] = indices
    return shapes.index(x, *key, key=(shapes.ARRAY,) * x.ndim)


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The elements [i, i + `offset`] of two axes, as a last axis."""
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    rows = np.arange(np.diagonal(np.empty(x.shape[-2:], bool), offset).size)
    return x[..., rows + max(-offset, 0), rows + max(offset, 0)]


def diag(x: Any, k: int = 0) -> Any:
    """The diagonal of a matrix, or a matrix with the vector as its diagonal and 0 elsewhere."""
    if x.ndim != 1:
        return diagonal(x, k)
    (n,) = x.shape
    square = elementwise.where(np.eye(n, dtype=bool), expand_dims(x, 1), 0)
    below, right = max(-k, 0), max(k, 0)
    return pad(square, ((below, right), (right, below))) if k else square


def tril(x: Any, k: int = 0) -> Any:
    """The triangle on and below the diagonal `k`, and 0 above."""
    return elementwise.where(_below(x.shape, k), x, 0)


def triu(x: Any, k: int = 0) -> Any:
    """The triangle on and above the diagonal `k`, and 0 below."""
    return elementwise.where(_below(x.shape, k - 1), 0, x)


def _below(shape: tuple[int, ...], k: int) -> Any:
    """Which elements of a matrix stand on or below its diagonal `k`; a vector is every row."""
    return np.tri(shape[-2] if len(shape) > 1 else shape[-1], shape[-1], k, dtype=bool)


def vstack(arrays: Sequence[Any]) -> Any:
    """The arrays below one another; a vector is a row."""
    return concatenate([reshape(x, (1, -1)) if x.ndim < 2 else x for x in arrays_of(*arrays)])


def hstack(arrays: Sequence[Any]) -> Any:
    """The arrays beside one another."""
    given = [x if x.ndim else ravel(x) for x in arrays_of(*arrays)]
    return concatenate(given, axis=0 if given[0].ndim == 1 else 1)


def dstack(arrays: Sequence[Any]) -> Any:
    """The arrays behind one another, along a third axis."""
    given = [reshape(x, (1, -1)) if x.ndim < 2 else x for x in arrays_of(*arrays)]
    return concatenate([expand_dims(x, 2) if x.ndim < 3 else x for x in given], axis=2)


def column_stack(arrays: Sequence[Any]) -> Any:
    """The arrays beside one another; a vector is a column."""
    given = arrays_of(*arrays)
    return concatenate([reshape(x, (-1, 1)) if x.ndim < 2 else x for x in given], axis=1)


def append(x: Any, values: Any, axis: int | None = None) -> Any:
    """`values` after `x` along an axis; `axis=None` flattens both first."""
    return concatenate([x, values], axis)


def at_least(rank: int) -> Callable[..., Any]:
    """What answers for np.atleast_1d, np.atleast_2d and np.atleast_3d."""

    def widened(*arrays: Any) -> Any:
        given = []
        for x in arrays_of(*arrays):
            if x.ndim == 2 < rank:
                x = expand_dims(x, 2)
            elif x.ndim < rank:
                x = reshape(x, {1: (1,), 2: (1, -1), 3: (1, -1, 1)}[rank])
            given.append(x)
        return given[0] if len(given) == 1 else tuple(given)

    return widened


def meshgrid(*arrays: Any, indexing: str = "xy") -> tuple[Any, ...]:
    """Each vector along an axis of its own, repeated along those of the others.

    The first two axes are exchanged unless `indexing` is "ij".
    """
    order = list(range(len(arrays)))
    order[:2] = order[:2] if indexing == "ij" else order[:2][::-1]
    vectors = [ravel(x) for x in arrays_of(*arrays)]
    full = [math.prod(vectors[i].shape) for i in order]
    alone = [[-1 if i == axis else 1 for i in order] for axis in range(len(arrays))]
    return tuple(broadcast_to(reshape(x, s), full) for x, s in zip(vectors, alone, strict=True))


def block(arrays: Any) -> Any:
    """A matrix of matrices, given as a list of rows that are lists."""

    def depth(x: Any) -> int:
        return 1 + depth(x[0]) if isinstance(x, list) else 0

    def joined(x: Any, below: int) -> Any:
        if isinstance(x, list):
            if not x:
                raise ValueError("block: an empty list: each row needs an array")
            return concatenate([joined(part, below - 1) for part in x], axis=-below)
        return reshape(x, (*[1] * (rank - x.ndim), *x.shape)) if x.ndim < rank else x

    def leaves(x: Any) -> Any:
        return [leaves(part) for part in x] if isinstance(x, list) else arrays_of(x)[0]

    def ranks(x: Any) -> list[int]:
        return [n for part in x for n in ranks(part)] if isinstance(x, list) else [x.ndim]

    given = leaves(arrays)
    rank = sorted([depth(given), *ranks(given)])[-1]
    return joined(given, depth(given))


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0) -> Any:
    """`x` within a margin; `pad_width` as in NumPy: one width, (before, after), or one per axis."""
    if mode != "constant":
        raise TypeError(f"pad: mode={mode!r} has no rule; 'constant' has")
    if isinstance(constant_values, Operand) or np.ndim(constant_values):
        raise TypeError("pad: constant_values has to be one number; np.concatenate joins Tensors")
    widths = np.asarray(pad_width)
    if widths.dtype.kind not in "iu" or (widths < 0).any():
        raise ValueError(f"pad: pad_width={pad_width}: whole numbers from 0 up are needed")
    try:
        pairs = np.broadcast_to(widths, (x.ndim, 2)).tolist()
    except ValueError as error:
        raise ValueError(
            f"pad: pad_width={pad_width} for the shape {x.shape}: give one width, "
            "(before, after), or such a pair for each axis"
        ) from error
    margins = tuple((before, after) for before, after in pairs)
    return shapes.pad(x, widths=margins, value=constant_values) if margins else x
