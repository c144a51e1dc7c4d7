from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tarograd.compiler.llvm.native import narrowed
from tarograd.compiler.llvm.peak import multiply_add, peak


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bits", [128, 256, 512])
def test_the_chains_really_multiply_and_add(bits: int, dtype: Any) -> None:
    passes, _engine = multiply_add(narrowed(bits), dtype)
    assert [passes(n) for n in (0, 1, 2)] == [0.0, 1 - 2.0**-8, 1 - 2.0**-16]


def test_it_is_a_rate() -> None:
    assert 1e8 < peak(seconds=0.001) < 1e13  # of any processor of this century
