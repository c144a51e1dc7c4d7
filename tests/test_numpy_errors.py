"""What NumPy's functions refuse when they are given Tensors, and how they say it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tarograd import Tensor

A = np.array([[0.31, -0.62, 1.3], [1.72, 0.93, -1.51]])
B = np.array([[0.8, 1.9, 0.7], [0.55, 1.2, 1.6]])
V = np.array([0.9, 0.45, 1.4])
OUT: Any = np.zeros(3)
MASK = np.array([[True, False, True], [False, False, True]])

WITHOUT_RULE: list[tuple[Callable[..., Any], str, str]] = [
    (lambda t: np.partition(t, 1), "np.partition", "np."),
    (lambda t: np.fft.fft(t), "np.fft.fft", "np."),
    (lambda t: np.linalg.svd(t), "np.linalg.svd", "np.linalg.solve"),
    (lambda t: np.lexsort(t), "np.lexsort", "np.sort"),
    (lambda t: np.sinc(t), "np.sinc", "np.sin"),
    (lambda t: np.subtract.reduce(t), "np.subtract.reduce", "np.subtract"),
    (lambda t: np.add.outer(t, t), "np.add.outer", "np.outer"),
    (lambda t: np.unwrap(t), "np.unwrap", "np."),
    (lambda t: np.cbrt(t), "np.cbrt", "np."),
    (lambda t: np.add(t, 1, where=MASK), "np.add(where=…)", "np."),
    (lambda t: np.exp(t, dtype=np.float32), "np.exp(dtype=…)", "np.exp"),
]


@pytest.mark.parametrize(
    ("f", "used", "near"), WITHOUT_RULE, ids=[used for _, used, _ in WITHOUT_RULE]
)
def test_without_a_rule_the_error_names_the_function_and_the_nearest(
    f: Callable[..., Any], used: str, near: str
) -> None:
    with pytest.raises(TypeError) as caught:
        f(Tensor(B))
    message = str(caught.value)
    assert message.startswith(f"{used} has no rule for Tensors")
    assert f"the nearest that has one is {near}" in message
    assert ".value" in message


@pytest.mark.parametrize(
    ("f", "argument"),
    [
        (lambda t: np.sum(t, dtype=np.float32), "dtype"),
        (lambda t: np.sum(t, axis=0, out=np.zeros(3)), "out"),
        (lambda t: np.mean(t, where=MASK), "where"),
        (lambda t: np.max(t, initial=0), "initial"),
        (lambda t: np.sum(t, 0, np.float32), "positional"),
        (lambda t: np.max(t, 0, OUT), "positional"),
        (lambda t: np.concatenate([t], dtype=np.float32), "dtype"),
        (lambda t: np.add(t, t, out=np.zeros((2, 3))), "write y = a + b"),
        (lambda t: np.add(A, A, out=t), "write y = a + b"),
    ],
)
def test_arguments_without_a_rule_are_refused(f: Callable[..., Any], argument: str) -> None:
    with pytest.raises(TypeError, match=argument.replace("+", r"\+")):
        f(Tensor(A))


@pytest.mark.parametrize(
    "convert",
    [np.asarray, np.array, lambda t: np.array([t, t]), lambda t: np.sum([t, t]), np.float32],
)
def test_a_tensor_never_becomes_an_array_by_itself(convert: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"take its \.value, or np\.stack a list of Tensors"):
        convert(Tensor(1.0))


def test_adding_in_place_to_an_array_is_refused() -> None:
    total = np.zeros(3)
    with pytest.raises(TypeError, match=r"np\.add can't write into an array: write y = a \+ b"):
        total += Tensor(V)
    assert np.array_equal(total, np.zeros(3))


T: Any = Tensor(A)
HALF: Any = 0.5
ALL: Any = "all"
MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: np.einsum("ij,ij->", T, B.T), ValueError, "'i' has two lengths in (2, 3) and (3, 2)"),
    (lambda: np.einsum("ij,j->i", T, V[:1]), ValueError, "'j' has two lengths in (2, 3) and (1,)"),
    (lambda: np.einsum("ijk->", T), ValueError, "einsum: 'ijk->': 'ijk' names 3 axes of (2, 3)"),
    (lambda: np.einsum("ij->k", T), ValueError, "the result's axis 'k' is in no operand"),
    (lambda: np.einsum("ii", T), ValueError, "'i' has two lengths in (2, 3)"),
    (lambda: np.einsum("ij->ii", T), ValueError, "'ij->ii': the result has a letter twice"),
    (lambda: np.einsum("ij...k", T), ValueError, "'ijk' names 3 axes of (2, 3)"),
    (lambda: np.einsum("i,i,i", T, T), ValueError, "einsum: 'i,i,i' for 2 operands"),
    (lambda: np.einsum(T, [0, 1]), TypeError, "as a string, such as 'ij,jk->ik'"),
    (lambda: np.tensordot(T, T, 1), ValueError, "the axes (1,) of (2, 3) and (0,) of (2, 3)"),
    (lambda: np.dot(T, T), ValueError, "matmul: (2, 3) @ (2, 3)"),
    (lambda: np.linalg.norm(T, 2), TypeError, "ord=2 over the axes (0, 1) of the shape (2, 3)"),
    (lambda: np.linalg.norm(T, 2, axis=(0, 1)), TypeError, "has no rule; None has"),
    (lambda: np.linalg.norm(T, -1, axis=0), TypeError, "of vectors also numbers above 0 and inf"),
    (lambda: np.linalg.norm(T, "nuc"), TypeError, "of matrices also 'fro'"),
    (lambda: np.reshape(T, (3, 2), order="F"), TypeError, "only the row-major order 'C'"),
    (lambda: np.reshape(T, (4, -1)), ValueError, "the 6 elements of (2, 3) do not fill (4, -1)"),
    (lambda: np.transpose(T, (0,)), ValueError, "(0,) does not name each axis of (2, 3) once"),
    (
        lambda: np.swapaxes(T, 0, 2),
        np.exceptions.AxisError,
        "swapaxes: axis=2 for the shape",
    ),
    (lambda: np.moveaxis(T, (0, 1), 0), ValueError, "(0, 1) and 0 are not equally many axes"),
    (lambda: np.expand_dims(T, 4), np.exceptions.AxisError, "axis 4 is out of bounds"),
    (lambda: np.squeeze(T, axis=1), ValueError, "squeeze: axis 1 of (2, 3) is not of length 1"),
    (lambda: np.broadcast_to(T, (3, 3)), ValueError, "(2, 3) can't be repeated into (3, 3)"),
    (lambda: np.broadcast_to(T, (3,)), ValueError, "(2, 3) can't be repeated into (3,)"),
    (lambda: np.concatenate([T, V]), ValueError, "the shapes (2, 3) and (3,) have to be equal"),
    (
        lambda: np.concatenate([T, T.T], axis=1),
        ValueError,
        "(2, 3) and (3, 2) have to be equal",
    ),
    (lambda: np.concatenate([T, T], 2), np.exceptions.AxisError, "concatenate: axis=2 for"),
    (
        lambda: np.stack([T, T.T]),
        ValueError,
        "the shapes (2, 3) and (3, 2) have to be equal",
    ),
    (lambda: np.pad(T, 1, mode="edge"), TypeError, "pad: mode='edge' has no rule; 'constant' has"),
    (lambda: np.split(T, 2, axis=1), ValueError, "split: axis 1 of (2, 3) has no 2 equal parts"),
    (lambda: np.roll(T, 1, axis=2), ValueError, "roll: axis=2 for the shape (2, 3)"),
    (lambda: np.repeat(T, -1), ValueError, "repeat: -1 times: a number from 0 up is needed"),
    (
        lambda: np.take_along_axis(T, np.array([1, 0]), axis=1),
        ValueError,
        "take_along_axis: indices of the shape (2,) need as many axes as (2, 3)",
    ),
    (
        lambda: np.average(T, axis=0, weights=V),
        ValueError,
        "average: weights of the shape (3,) fit neither (2, 3) nor axis 0 of it",
    ),
    (lambda: np.cross(T, V[:2]), ValueError, "cross: vectors of 3 and 2 elements: 3 and 3 fit"),
    (lambda: np.convolve(T[0], T), ValueError, "(2, 3) and (3,): two vectors are needed"),
    (lambda: np.correlate(V, T[0], ALL), ValueError, "mode='all': there are 'valid', 'same' and"),
    (lambda: np.linalg.inv(T), ValueError, "inv: (2, 3): as many rows as columns are needed"),
    (lambda: np.linalg.solve(T @ T.T, V), ValueError, "solve: (2, 2) and (3,): as many rows"),
    (
        lambda: np.linalg.solve(T.T @ T * 0, V),
        np.linalg.LinAlgError,
        "solve: a matrix of (3, 3) is singular",
    ),
    (lambda: np.select([T > 0], [T, T]), ValueError, "select: 1 conditions for 2 choices"),
    (lambda: np.quantile(T, 1.5), ValueError, "quantile: q=1.5 of (2, 3): from 0 to 1"),
    (lambda: np.gradient(T, V), TypeError, "one number has a rule, or one for each axis"),
    (lambda: np.gradient(T[:1]), ValueError, "gradient: axis 0 of (1, 3): two elements"),
    (lambda: np.pad(T, 1, constant_values=T[0, 0]), TypeError, "has to be one number"),
    (lambda: np.round(T, HALF), TypeError, "round: decimals=0.5: a whole number is needed"),
    (lambda: np.rot90(T, HALF), TypeError, "as an integer"),
    (lambda: np.block([[T], []]), ValueError, "block: an empty list"),
    (lambda: np.trapezoid(T, V[:2]), ValueError, "trapezoid: 2 places for axis -1 of (2, 3)"),
    (lambda: np.convolve(T[0, 0], V), ValueError, "correlate: shapes"),
    (lambda: T * np.array(["a"]), TypeError, "multiply: an input of dtype <U1: numbers are"),
    (lambda: np.pad(T, -1), ValueError, "pad: pad_width=-1: whole numbers from 0 up"),
    (lambda: np.pad(T, HALF), ValueError, "pad: pad_width=0.5: whole numbers from 0 up"),
    (lambda: np.pad(T, (1, 2, 3)), ValueError, "for the shape (2, 3): give one width, (before"),
]


@pytest.mark.parametrize(("mistake", "error", "message"), MISTAKES)
def test_mistakes_are_named(
    mistake: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        mistake()
    assert message in str(caught.value)
