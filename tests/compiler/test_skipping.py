"""Products that visit only what is not zero: the same bits as if all had been visited."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_native import native

import tarograd as tg
from tarograd.compiler import Recipe, skipping, step_program
from tarograd.compiler.llvm.native import Native, Target, host, narrowed
from tarograd.compiler.lower import lower
from tarograd.compiler.program import Program
from tarograd.compiler.skipping import (
    HEIGHTS,
    looked_up,
    nonzero,
    pays,
    skip_zeros,
    visits,
)
from tarograd.compiler.trace import trace


def strokes(n: int, columns: int, density: float, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 256, (n, columns), dtype=np.uint8)
    return x * (rng.random((n, columns)) < density).astype(np.uint8)


@settings(max_examples=40)
@given(
    rows=st.sampled_from([1, 2, 3, 4, 15, 16, 17, 33]),
    columns=st.sampled_from([32, 33, 40, 47, 64, 100]),
    lanes=st.sampled_from([4, 8, 16, 32]),
    density=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_the_lists_hold_every_place_that_is_not_zero_and_no_other_band(
    rows: int, columns: int, lanes: int, density: float, dtype: Any
) -> None:
    x = strokes(rows, columns, density).astype(dtype)
    bits = nonzero.forward(x, lanes=lanes)
    for axis, height in enumerate(HEIGHTS):
        lists = visits.forward(bits, lanes=lanes, height=height, axis=axis)
        turned = x.T if axis else x
        for band in range(-(-len(turned) // height)):
            wanted = np.flatnonzero((turned[band * height : (band + 1) * height] != 0).any(axis=0))
            assert lists[band, 0] == len(wanted)
            np.testing.assert_array_equal(lists[band, 1 : 1 + len(wanted)], wanted)


def both(x: Any, w: Any, g: Any) -> Program:
    def function(x: Any, w: Any, g: Any) -> Any:
        scaled = x.astype(w.dtype) / 255
        return {"y": scaled @ w, "dw": scaled.T @ g}

    return lower(trace(function, {"x": x, "w": w, "g": g}))


# The last one, as the first processors with AVX-512, compresses no vectors of 16 bits.
TARGETS = [
    *map(narrowed, (128, 256, 512)),
    replace(host(), features=host().features.replace("+avx512vbmi2", "-avx512vbmi2")),
]


@settings(max_examples=60)
@given(
    rows=st.sampled_from([1, 2, 3, 4, 5, 16, 17, 33]),
    columns=st.sampled_from([32, 33, 40, 47, 64, 100]),
    outputs=st.sampled_from([1, 5, 16, 17, 50, 70]),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
    target=st.sampled_from(TARGETS),
)
def test_skipping_changes_no_bit(
    rows: int, columns: int, outputs: int, density: float, dtype: Any, target: Target
) -> None:
    x = strokes(rows, columns, density)
    rng = np.random.default_rng(1)
    w, g = (rng.normal(size=(n, outputs)).astype(dtype) for n in (columns, rows))
    program, arguments = both(x, w, g), [x, w, g]
    products = [v for v in skip_zeros(program, ["x"], target.listed).order() if v.is_op(visits)]
    assert len(products) == 2
    skipping = native(program, arguments, sparse=["x"], target=target)
    dense = native(program, arguments, target=target)
    for a, b in zip(skipping, dense, strict=True):
        np.testing.assert_array_equal(a, b)
    scaled = x.astype(dtype) / 255
    np.testing.assert_allclose(skipping[0], scaled @ w, atol=100 * np.finfo(dtype).eps * columns)


@settings(deadline=None, max_examples=20)
@given(
    rows=st.sampled_from([64, 67, 100]),
    columns=st.sampled_from([64, 65, 112, 131]),
    outputs=st.sampled_from([2, 17, 18, 20, 33, 50]),
    dtype=st.sampled_from([np.float32, np.float64]),
    bits=st.sampled_from([128, 256, 512]),
)
def test_the_last_columns_of_a_gradient_have_the_same_bits_in_any_direction(
    rows: int, columns: int, outputs: int, dtype: Any, bits: int
) -> None:
    x = strokes(rows, columns, 0.3)
    rng = np.random.default_rng(2)
    w, g = (rng.normal(size=(n, outputs)).astype(dtype) for n in (columns, rows))

    def function(x: Any, w: Any, g: Any) -> Any:
        return {"w": w - 0.1 * ((x.astype(w.dtype) / 255).T @ g)}

    program = lower(trace(function, {"x": x, "w": w, "g": g}))
    (dense,) = native(program, [x, w, g], bits)
    (skipping,) = native(program, [x, w, g], bits, sparse=["x"])
    np.testing.assert_array_equal(dense, skipping)
    expected = w - 0.1 * ((x.astype(float) / 255).T @ g.astype(float))
    np.testing.assert_allclose(dense, expected, atol=10 * rows * np.finfo(dtype).eps)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [64, 70, 100])
def test_pixels_that_a_product_weighs_are_skipped_too(
    columns: int, dtype: Any, target: Target
) -> None:
    x, rng = strokes(20, columns, 0.1), np.random.default_rng(0)
    shapes = (columns, columns), (columns, 9), (20, 9)
    gate, w, g = (rng.normal(size=shape).astype(dtype) for shape in shapes)

    def function(x: Any, gate: Any, w: Any, g: Any) -> Any:
        scaled = x.astype(w.dtype) / 255
        weighed = scaled * (scaled @ gate)
        return {"y": weighed @ w, "dw": weighed.T @ g}

    program = lower(trace(function, {"x": x, "gate": gate, "w": w, "g": g}))
    dense = native(program, [x, gate, w, g], target=target)
    skipping = native(program, [x, gate, w, g], sparse=["x"], target=target)
    for a, b in zip(skipping, dense, strict=True):
        np.testing.assert_array_equal(a, b)
    weighed = (x / 255) * ((x / 255) @ gate.astype(float))
    np.testing.assert_allclose(dense[0], weighed @ w, atol=1e3 * np.finfo(dtype).eps)


def test_a_training_step_keeps_its_bits() -> None:
    images, labels = strokes(90, 28 * 28, 0.2).reshape(90, 28, 28), np.arange(90) % 10
    net = tg.nn.TwoLayerNet(784, 50, 10)
    sgd = tg.optim.SGD(net.parameters())
    recipe = Recipe(net, net.criterion, sgd, images.reshape(90, 784), labels)
    program = lower(step_program(recipe, 30))
    fed = {
        "batch": np.random.default_rng(0).integers(0, 90, (6, 30)),
        "step": np.arange(6),
        "lr": np.full(6, 0.1),
    }
    results = []
    for sparse in ([], ["images"]):
        machine = Native(program, {"images": recipe.images, "labels": labels}, sparse=sparse)
        for name, p in recipe.parameters().items():
            machine.view(program.inputs[name])[...] = p.value
        losses = machine.run(fed, 6)
        results.append([losses, *(machine.result(k) for k in recipe.parameters())])
    for dense, sparse in zip(*results, strict=True):
        np.testing.assert_array_equal(dense, sparse)


def test_a_number_that_is_not_finite_is_visited() -> None:
    x = strokes(8, 64, 0.0).astype(np.float32)
    x[3, 5], x[4, 6] = np.nan, np.inf
    program = lower(trace(lambda x, w: (x / 2) @ w, {"x": x, "w": np.ones((64, 3), np.float32)}))
    (y,) = native(program, [x, np.ones((64, 3), np.float32)], sparse=["x"])
    assert np.isnan(y[3]).all()
    assert np.isposinf(y[4]).all()
    assert (y[[0, 1, 2, 5, 6, 7]] == 0).all()


def test_only_what_zeros_pass_through_is_skipped() -> None:
    def shifted(x: Any, w: Any) -> Any:
        return (x - 1.0) @ w

    given = {"x": np.zeros((8, 64), np.float32), "w": np.ones((64, 3), np.float32)}
    program = skip_zeros(lower(trace(shifted, given)), ["x"], 16)
    assert not any(v.is_op(visits) for v in program.order())


@pytest.mark.parametrize(("density", "worth"), [(0.05, True), (0.15, True), (0.5, False)])
def test_whether_it_pays_is_measured(density: float, worth: bool) -> None:
    assert pays(strokes(300, 784, density).reshape(300, 28, 28)) is worth


@pytest.mark.parametrize("images", [np.zeros((0, 4)), np.zeros((2, 4)), np.zeros((20, 0))])
def test_too_few_images_to_tell(images: Any) -> None:
    assert not pays(images)


@pytest.mark.parametrize("near", [0, 2**15])
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_gathered_bytes_are_looked_up_to_the_same_bits(
    near: int, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skipping, "FIRST_CACHE", near)
    rng = np.random.default_rng(0)
    images, rows = strokes(40, 47, 0.3), rng.integers(0, 40, 17)
    w, g = (rng.normal(size=s).astype(np.float32) for s in ((47, 19), (17, 19)))

    def function(images: Any, rows: Any, w: Any, g: Any) -> Any:
        x = images[rows].astype(w.dtype) / 255
        return {"y": x @ w, "dw": x.T @ g}

    given = {"images": images, "rows": rows, "w": w, "g": g}
    program = lower(trace(function, given))
    target = narrowed(32 * lanes)
    dense, sparse = (
        Native(program, {"images": images}, target, sparse=names) for names in ([], ["images"])
    )
    tables = [v for v in sparse.program.order() if v.array is not None and v.shape == (256,)]
    assert len(tables) == (near == 0)
    for expected, y in zip(dense(*given.values()), sparse(*given.values()), strict=True):
        assert y.tobytes() == expected.tobytes()


def test_a_table_says_what_becomes_of_each_byte() -> None:
    images, rows = np.zeros((5, 9000), np.uint8), np.arange(2)

    def looked(function: Any) -> Any:
        scaled = trace(lambda x, rows: function(x[rows]), {"x": images, "rows": rows})
        return looked_up(next(iter(scaled.outputs.values())))

    table, places = looked(lambda x: x.astype(np.float32) / 255).operands
    np.testing.assert_array_equal(table.array, np.arange(256, dtype=np.float32) / np.float32(255))
    assert (places.shape, places.dtype) == ((2, 9000), np.uint8)
    assert looked(lambda x: x.astype(np.float32) * 0.0) is None  # which is zero everywhere
