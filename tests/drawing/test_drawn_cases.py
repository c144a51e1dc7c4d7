"""Every primitive of the table can be drawn, opened, and agrees with its definition."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest

import tarograd as tg
from cases import CASES
from rows import Case


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_case_is_drawn(case: Case) -> None:
    given = case.inputs()
    for i in case.drawn:
        if given[i].dtype.kind == "f":
            given[i] = tg.Tensor(given[i], f"x{i}")
    output = case.primitive(*given, **case.attributes())
    if not isinstance(output, tg.Tensor):
        pytest.skip("no input is a Tensor: nothing is recorded")
    picture = tg.draw(output, depth=9)
    trace = picture.trace
    ElementTree.fromstring(picture.svg())
    json.loads(picture.json())
    assert picture.terminal(ascii=True).isascii()
    assert np.array_equal(trace.values[trace.output].array, output.value, equal_nan=True)
    if case.primitive.definition is None:
        return
    [box] = [g for g in trace.groups[1:] if g.name == case.primitive.name]
    inner = {n.id for n in trace.nodes if box.id in trace.outward(n.group)}
    for value, closed in box.enters.items():
        shares = [u.gradient for u in trace.uses if u.value == value and u.node in inner]
        found = [np.asarray(s) for s in shares if s is not None]
        if closed is not None and found:
            np.testing.assert_allclose(sum(found), closed, 1e-9, 1e-9)
