from __future__ import annotations

import numpy as np

from tarograd.compiler.lower import lower
from tarograd.compiler.plan import Plan
from tarograd.compiler.report import report
from tarograd.compiler.trace import trace


def test_operations_and_bytes_are_those_of_the_mathematics() -> None:
    program = trace(
        lambda a, b: (a @ b).relu(),
        {"a": np.ones((5, 7), np.float32), "b": np.ones((7, 3), np.float32)},
    )
    line = report(Plan(lower(program), widest=16)).splitlines()[1].split()
    assert line[:4] == ["matmul", "5×3", f"{2 * 5 * 7 * 3 + 15}", f"{4 * (35 + 21 + 15)}"]
