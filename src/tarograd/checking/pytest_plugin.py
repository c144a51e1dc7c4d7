"""A pytest plugin: the fixture `check_gradients`, whose failure is the report and no traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the command line."""
    group = parser.getgroup("gradcheck", "gradient checks (tarograd)")
    modes = ("quick", "default", "thorough", "contract")
    group.addoption("--gradcheck-mode", default="default", choices=modes, help="how thoroughly")
    group.addoption("--gradcheck-seed", default=0, type=int, help="of directions and inputs")


@pytest.fixture
def check_gradients(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`check_gradients(layer, *inputs)`, or `check_gradients(layer, shape=(2, 3, 5, 7))`.

    Fails the test with the report's text unless every gradient is right.
    """
    mode = request.config.getoption("--gradcheck-mode")
    seed = request.config.getoption("--gradcheck-seed")

    def check(subject: Any, *inputs: Any, shape: Any = None, **options: Any) -> Any:
        import numpy as np

        from tarograd.checking import check_gradients as checked

        if shape is not None:
            inputs = (np.random.default_rng(seed).normal(size=shape), *inputs)
        report = checked(subject, *inputs, **({"mode": mode, "seed": seed} | options))
        request.node.user_properties.append(("gradcheck", report.to_json()))
        if report.verdict != "right":
            pytest.fail(str(report), pytrace=False)
        return report

    return check
