"""Products by large matrices turned over, computed the other way round."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_native import native

from tarograd.compiler.lower import lower
from tarograd.compiler.program import Program
from tarograd.compiler.trace import trace
from tarograd.ops import matmul


def factors(program: Program) -> list[tuple[Any, ...]]:
    """The shapes of the left factors of all products."""
    return [v.operands[0].shape for v in lower(program).order() if v.is_op(matmul.matmul)]


@settings(max_examples=15)
@given(
    sizes=st.tuples(
        st.sampled_from([16, 17, 31, 48, 63]),
        st.sampled_from([200, 256, 333]),
        st.sampled_from([200, 257, 336]),
    ),
    dtype=st.sampled_from([np.float32, np.float64]),
    bits=st.sampled_from([128, 256, 512]),
)
def test_what_follows_is_computed_where_the_result_is_turned_over(
    sizes: tuple[int, int, int], dtype: Any, bits: int
) -> None:
    n, k, m = sizes
    rng = np.random.default_rng(sizes)
    shapes = {"x": (n, k), "w": (m, k), "y": (n, m), "bias": (m,)}
    arrays = {name: rng.normal(size=s).astype(dtype) for name, s in shapes.items()}

    def function(x: Any, w: Any, y: Any, bias: Any) -> Any:
        z = (x + 1) @ w.T
        # The new y lies where the old one is read: an element must not be computed twice.
        return {"y": y - z * 2, "mask": z + bias > 0, "sums": z.sum(axis=0)}

    program = trace(function, arrays)
    assert factors(program) == [(m, k)]
    got = dict(zip(program.outputs, native(program, list(arrays.values()), bits), strict=True))
    x, w, y, bias = (a.astype(float) for a in arrays.values())
    z = (x + 1) @ w.T
    bound = 4 * (k + 4) * np.finfo(dtype).eps * (np.abs(z).max() + np.sqrt(k))
    np.testing.assert_allclose(got["y"], y - z * 2, atol=2 * bound)
    np.testing.assert_allclose(got["sums"], z.sum(axis=0), atol=n * bound)
    clear = np.abs(z + bias) > 2 * bound
    np.testing.assert_array_equal(got["mask"][clear], (z + bias > 0)[clear])


@pytest.mark.parametrize(
    ("n", "k", "m", "why"),
    [
        (32, 64, 64, "the matrix is small"),
        (200, 256, 256, "more would have to be turned over"),
        (8, 512, 512, "there are fewer rows than a square has"),
    ],
)
def test_where_nothing_is_won_the_product_stays_as_it_is(n: int, k: int, m: int, why: str) -> None:
    given: dict[str, Any] = {"x": np.zeros((n, k), np.float32), "w": np.zeros((m, k), np.float32)}
    assert factors(trace(lambda x, w: (x + 1) @ w.T, given)) == [(n, k)], why


def test_images_stay_the_left_factor_since_their_zeros_may_be_left_out() -> None:
    given: dict[str, Any] = {"x": np.zeros((64, 784), np.uint8)}
    given["w"] = np.zeros((512, 784), np.float32)
    program = trace(lambda x, w: (x.astype(np.float32) / 255) @ w.T, given)
    assert factors(program) == [(64, 784)]
