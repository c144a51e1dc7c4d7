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
from tarograd.compiler.llvm.words import between, constant, index, loop, on_the_stack, type_of

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


def test_what_is_the_same_in_each_round_stands_before_the_loop() -> None:
    module, kind = ir.Module(), ir.integer(64)
    function = ir.Function(module, ir.VOID, [ir.POINTER, kind, kind], "loops")
    place, x, n = function.args
    entry = function.append_basic_block()
    b = ir.IRBuilder(entry)
    with between(b, x, n) as i:  # perhaps not at all
        outer = b.block
        with loop(b, 8) as j:
            inner = b.block
            twice, of_i, of_j = b.add(x, x), b.add(i, twice_of := b.mul(i, x)), b.add(j, i)
            fixed = b.load(b.gep(place, [i], source_etype=kind), kind, fixed=True)
            known = b.load(b.gep(place, [index(3)], source_etype=kind), kind, fixed=True)
            again = b.load(b.gep(place, [i], source_etype=kind), kind)
        assert b.block not in (outer, inner)
    b.ret()
    homes = {
        line.split(" = ")[0]: block
        for block in function.blocks
        for line in map(str, block.lines)
        if " = " in line
    }
    assert [homes[v.name] for v in (twice, known)] == [entry] * 2
    assert [homes[v.name] for v in (of_i, twice_of, fixed)] == [outer] * 3
    assert [homes[v.name] for v in (of_j, again)] == [inner] * 2


def test_nothing_is_read_before_a_loop_that_may_not_be_gone_through() -> None:
    module, kind = ir.Module(), ir.integer(64)
    function = ir.Function(module, ir.VOID, [ir.POINTER, kind], "loops")
    b = ir.IRBuilder(function.append_basic_block())
    with loop(b, 8) as i:
        outer = b.block
        with between(b, index(0), function.args[1]):
            inner = b.block
            read = b.load(b.gep(function.args[0], [i], source_etype=kind), kind, fixed=True)
    b.ret()
    assert any(str(line).startswith(f"{read.name} =") for line in inner.lines)
    assert not any("load" in str(line) for line in outer.lines)
