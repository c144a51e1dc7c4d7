"""What a drawing says about an array: short numbers, a summary, a small image or histogram."""

from __future__ import annotations

import base64
import struct
import zlib
from functools import cache
from itertools import pairwise
from math import isfinite, isnan, isqrt, log10, sqrt
from typing import Any

import numpy as np

from tarograd.graph import Array

SMALL = 64  # elements whose true values a trace carries along
SIDE = 28  # pixels along the longer side of an image
BINS = 12
SAFE = 1e-200  # squares beyond may have lost digits, or have overflowed
SLICES = 8  # of a batch, that can be looked at one by one


def short(x: float) -> str:
    """A number as it stands on an edge: four digits, or all those before the point.

    Example:
        >>> [short(x) for x in (2.2000000000000002, 110.00000000000001, 1 / 3, 1e308, -0.0)]
        ['2.2', '110', '0.3333', '1e308', '0']
    """
    x = float(x)
    if not isfinite(x):
        return "NaN" if isnan(x) else "∞" if x > 0 else "-∞"
    if x == 0:
        return "0"
    digits = max(4, int(log10(abs(x))) + 1) if 1e-3 <= abs(x) < 1e6 else 4
    text = f"{x:.{digits}g}"
    mantissa, exponent, power = text.partition("e")
    return mantissa if not exponent else f"{mantissa}e{int(power)}"


def shape_text(shape: tuple[int, ...] | list[int]) -> str:
    """A shape as people say it: `100×784`; `(3)` for a row of three."""
    return f"({shape[0]})" if len(shape) == 1 else "×".join(str(n) for n in shape)


def plain(x: float) -> float | str:
    """A number that JSON can carry; it has no NaN and no infinity, so these become strings."""
    x = float(x)
    return x if isfinite(x) else "NaN" if isnan(x) else "Infinity" if x > 0 else "-Infinity"


def number(x: float | str) -> float:
    """The number that `plain` wrote."""
    return float(x)


def summary(
    array: Any, weights: bool = False, known: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What a trace keeps of an array; at most `SMALL` true values, else an image and a histogram.

    Args:
        array: of any shape and dtype, also empty, 0-d or not finite.
        weights: whether it belongs to a parameter: its matrix is one image, whatever its width.
        known: the summary of the same numbers in another shape, to save the time.

    Returns:
        `shape`, `dtype`, and for numbers `norm` (Euclidean), `min`, `max`, `finite` (how many
        are); `data`, the elements in order, for a small array; `image`, a PNG in base64 in which
        blue is negative and orange positive, and `histogram`, the counts between min and max.

    Example:
        >>> summary(np.array([3.0, 4.0]))["norm"]
        5.0
    """
    a = np.asarray(array)
    if known is not None:
        found = known | {"shape": list(a.shape)}
        if "image" in known:
            scale = max(-(known["min"] or 0.0), known["max"] or 0.0)
            found["image"] = _image(a, scale, weights) if a.ndim > 1 else None
        return found
    # Copies of large arrays would take most of the time.
    numbers = a if a.dtype in (np.float32, np.float64) else a.astype(np.float64)
    good = numbers.ravel(order="K")
    low, high = _ends(good)
    if not (isfinite(low) and isfinite(high)):
        good = good[np.isfinite(good)]
        low, high = _ends(good)
    scale = max(-low, high)
    found = {
        "shape": list(a.shape),
        "dtype": str(a.dtype),
        "finite": int(good.size),
        "norm": plain(_norm(good, scale)),
        "min": plain(low) if good.size else None,
        "max": plain(high) if good.size else None,
    }
    if a.size <= SMALL:
        found["data"] = [plain(x) for x in numbers.ravel()]
    if a.ndim and a.size > 4:
        found["histogram"] = _histogram(good, low, high)
        found["image"] = _image(numbers, scale, weights) if a.ndim > 1 else None
    return found


def _ends(numbers: Array) -> tuple[float, float]:
    """The least and the greatest number; both 0 if there is none, NaN if one of them is NaN."""
    if not numbers.size:
        return 0.0, 0.0
    with np.errstate(invalid="ignore"):
        return float(numbers.min()), float(numbers.max())


def _norm(numbers: Array, scale: float) -> float:
    """The Euclidean norm, in float64; `scale` is the largest absolute value."""
    with np.errstate(over="ignore", under="ignore"):
        total = float(np.einsum("i,i->", numbers, numbers, dtype=np.float64))
    if SAFE < total < 1 / SAFE or not scale:
        return sqrt(total)
    return scale * float(np.linalg.norm(numbers.astype(np.float64) / scale))


def _histogram(numbers: Array, low: float, high: float) -> list[int]:
    """How many are nearest to each of `BINS` places from `low` to `high`, the ends included."""
    if not numbers.size:
        return []
    half = high / 2 - low / 2  # not high - low, which may overflow
    if not half:
        return [numbers.size if i == BINS // 2 else 0 for i in range(BINS)]
    if half < max(1e-5 * max(-low, high), 1e-30):  # bounds between them would be rounded too much
        numbers, low, half = numbers.astype(np.float64) - low, 0.0, (high - low) / 2
    bounds = [2 * (low / 2 + half * (i - 0.5) / (BINS - 1)) for i in range(1, BINS)]
    above = [numbers.size, *(int(np.count_nonzero(numbers >= b)) for b in bounds), 0]
    return [a - b for a, b in pairwise(above)]


def _image(numbers: Array, scale: float, weights: bool) -> str:
    """The array as a picture: of rows that are square images the first."""
    rows = numbers.ndim > 2 or (_square(numbers.shape[-1]) and not weights)
    first = numbers[0] if rows else numbers
    return _picture(_shrunk(_matrix(first)), scale)


def slices(array: Any) -> dict[str, Any] | None:
    """Pictures of the first `SLICES` rows of an array, one below the other in one image.

    A row of 784 is shown as 28×28; so are the columns of the weights of a layer for such rows.

    Returns:
        `axis`, along which they lie, `count`, how many there are in all, `shown`, how many are in
        the `image`; None for an array that has no rows.
    """
    numbers = np.asarray(array, dtype=np.float64)
    if numbers.ndim < 2 or not numbers.size:
        return None
    axis = int(numbers.ndim == 2 and _square(len(numbers)) and not _square(numbers.shape[1]))
    rows = numbers.T if axis else numbers
    if len(rows) < 2:
        return None
    shown = [_shrunk(_matrix(row)) for row in rows[:SLICES]]
    good = np.concatenate(shown)[np.isfinite(np.concatenate(shown))]
    image = _picture(np.concatenate(shown), float(np.abs(good).max(initial=0.0)))
    return {"axis": axis, "count": len(rows), "shown": len(shown), "image": image}


def _square(n: int) -> bool:
    """Whether so many numbers are likely an image."""
    return n >= 64 and isqrt(n) ** 2 == n


def _matrix(array: Array) -> Array:
    """The first matrix in an array; a row as a square, if it is likely an image."""
    if array.ndim < 2:
        return array.reshape(isqrt(array.size) if _square(array.size) else 1, -1)
    first: Array = array.reshape(-1, *array.shape[-2:])[0]
    return first


def _shrunk(matrix: Array) -> Array:
    """A matrix of at most `SIDE` rows and columns, each the mean of several."""
    for axis in (0, 1):
        step = -(-matrix.shape[axis] // SIDE)
        if step == 1:
            continue
        ends = np.arange(0, matrix.shape[axis], step)
        counts = np.diff(np.append(ends, matrix.shape[axis]))
        sums: Array = np.add.reduceat(matrix, ends, axis, dtype=np.float64)
        matrix = np.divide(sums, counts if axis else counts[:, None])
    return matrix


def _picture(matrix: Array, scale: float) -> str:
    """A matrix as a PNG in base64; the largest absolute value is `scale`."""
    shades = np.rint(127 + 127 * np.clip(matrix / (scale or 1), -1, 1))
    pixels = np.where(np.isfinite(matrix), shades, 255).astype(np.uint8)  # the last: not finite
    return base64.b64encode(_png(pixels)).decode()


@cache
def _colors() -> bytes:
    """Blue below 127, white, orange above, magenta for 255."""
    t = np.clip((np.arange(256) - 127) / 127, -1, 1)[:, None]
    white = np.array([247, 247, 245])
    ends = np.where(t < 0, np.array([0, 90, 181]), np.array([213, 94, 0]))
    colors = np.round(white + np.abs(t) ** 0.7 * (ends - white)).astype(np.uint8)
    colors[255] = (220, 0, 220)
    return bytes(colors.tobytes())


def _png(pixels: Array) -> bytes:
    """A PNG of at most 256 colors."""
    height, width = pixels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    used = int(pixels.max()) + 1
    rows = np.zeros((height, width + 1), np.uint8)  # each begins with 0: as it is, unfiltered
    rows[:, 1:] = pixels
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", _colors()[: 3 * used])
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + chunk(b"IEND", b"")
    )
