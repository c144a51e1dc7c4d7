"""The text of the machine code, as LLVM reads it."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.native import assemble, host
from tarograd.compiler.llvm.words import constant, on_the_stack, type_of

LANES = 4


def stored(kind: ir.Type, constants: list[ir.Constant]) -> bytes:
    """What machine code writes that writes these constants one after the other."""
    module = ir.Module()
    function = ir.Function(module, ir.VOID, [ir.POINTER], "write")
    b = ir.IRBuilder(function.append_basic_block())
    for i, c in enumerate(constants):
        place = b.gep(function.args[0], [ir.Constant(ir.integer(64), i)], source_etype=kind)
        b.store(c, place, align=1)
    b.ret()
    engine = assemble(module, host())
    memory = ctypes.create_string_buffer(64 * len(constants))
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.get_function_address("write"))(memory)
    return memory.raw


@settings(max_examples=10)
@given(
    numbers=st.lists(st.floats(), min_size=20, max_size=60).map(
        lambda found: [*found, 0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 5e-324, 0.1]
    )
)
@pytest.mark.parametrize("dtype", [np.dtype(np.float32), np.dtype(np.float64)])
def test_floats_keep_their_bits(dtype: np.dtype[Any], numbers: list[float]) -> None:
    with np.errstate(over="ignore"):
        expected = np.array(numbers).astype(dtype)
        one, many = type_of(dtype), ir.VectorType(type_of(dtype), LANES)
        scalars = stored(one, [constant(x, one) for x in numbers])
        vectors = stored(many, [constant(x, many) for x in numbers])
    assert_same_bits(np.frombuffer(scalars, dtype, len(numbers)), expected)
    lanes = np.frombuffer(vectors, dtype, LANES * len(numbers)).reshape(-1, LANES)
    for lane in lanes.T:
        assert_same_bits(lane, expected)


def assert_same_bits(y: Any, expected: Any) -> None:
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    there = ~np.isnan(expected)
    assert y[there].tobytes() == expected[there].tobytes()


@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_whole_numbers_keep_their_bits(width: int) -> None:
    numbers = [0, 1, -1, 2 ** (width - 1) - 1, -(2 ** (width - 1)), 2**width - 1]
    kind = ir.integer(width)
    expected = b"".join((n % 2**width).to_bytes(width // 8, "little") for n in numbers)
    assert stored(kind, [constant(n, kind) for n in numbers]).startswith(expected)


def test_a_vector_may_hold_another_number_in_each_lane() -> None:
    numbers = [ir.Constant(ir.integer(32), n) for n in (3, -1, 4, 1)]
    vector = ir.Constant(ir.VectorType(ir.integer(32), LANES), numbers)
    found = np.frombuffer(stored(vector.type, [vector]), np.int32, LANES)
    np.testing.assert_array_equal(found, [3, -1, 4, 1])


def test_what_is_computed_twice_in_a_block_stands_there_once() -> None:
    module = ir.Module()
    kind = ir.integer(64)
    function = ir.Function(module, ir.VOID, [ir.POINTER, kind], "twice")
    b = ir.IRBuilder(function.append_basic_block())
    place, x = function.args
    assert b.add(x, x) is b.add(x, x)
    assert b.mul(x, x) is not b.add(x, x)
    assert b.load(place, kind) is not b.load(place, kind)
    assert on_the_stack(b, kind, 1) is not on_the_stack(b, kind, 1)
    before = b.add(x, x)
    b.position_at_end(function.append_basic_block())
    assert b.add(x, x) is not before
