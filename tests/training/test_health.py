"""A loss that is no number any more: where it began, and what is left on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import some_digits

import tarograd as tg
from tarograd import checkpoint
from tarograd.tensor import Tensor, constant
from tarograd.training import NonFiniteError
from tarograd.training.health import explain_nonfinite


class LogOfScores(tg.nn.Network):
    """A loss whose logarithm meets a negative number as soon as a score is below -1."""

    def __init__(self) -> None:
        super().__init__(LogLoss())
        self.affine1 = tg.nn.Affine(64, 10)

    def call(self, x: Any) -> Any:
        """Scores (n, 10)."""
        return self.affine1(x)


class LogLoss(tg.nn.Layer):
    """The mean of log(1 + score)."""

    def call(self, x: Any, t: Any) -> Any:
        """Scores and labels."""
        return np.log(x + 1).mean()


def test_the_first_node_its_group_and_the_ranges_of_its_inputs_are_named(tmp_path: Path) -> None:
    net = LogOfScores()
    net.affine1.w.value = np.zeros((64, 10), np.float32)
    with pytest.raises(NonFiniteError) as caught:
        tg.fit(
            net,
            some_digits(),
            optimizer=tg.optim.SGD(lr=3.0),
            steps=100,
            directory=tmp_path,
            progress=False,
        )
    # The weights and scores go down evenly, w by the mean brightness and b by 1, times lr / 10.
    message = str(caught.value)
    head, rest = message.split(". ", 1)
    assert head == "step 2: the loss is nan"
    first, inputs = rest.split(". Its inputs: ")
    assert first.startswith("The first value that is not finite came out of log in logloss, shape")
    name, low, high = inputs.partition(" from ")[0], *inputs.partition(" from ")[2].split(" to ")
    assert name == "the output of add (100, 10)"
    # The same by hand, in float64.
    batches = tg.data.Batches(250, 100, 0)
    x = [some_digits().train[batches.indices(i)].images.reshape(100, 64) / 16 for i in (0, 1)]
    scores = -3.0 / 10 * (x[1] @ x[0].mean(axis=0) + 1)
    assert float(low) == pytest.approx(1 + scores.min(), rel=1e-5)
    assert float(high) == pytest.approx(1 + scores.max(), rel=1e-5)
    assert float(low) < 0
    bad = int(np.sum(scores < -1)) * 10
    assert f"shape (100, 10), {bad} of 1000 elements" in first


def test_the_files_of_before_stay_and_are_finite(tmp_path: Path) -> None:
    net = tg.nn.TwoLayerNet(64, 10, 10)
    data = some_digits()
    with pytest.raises(NonFiniteError, match=r"^step 2: the loss is nan.* in twolayernet.affine2,"):
        tg.fit(
            net,
            data,
            optimizer=tg.optim.SGD(lr=1e30),
            steps=50,
            directory=tmp_path,
            progress=False,
        )
    arrays, metadata = checkpoint.load(tmp_path / "last.safetensors")
    assert metadata["step"] == 0
    assert all(np.isfinite(array).all() for array in arrays.values())
    kept = tg.load_network(tmp_path)
    first = tg.nn.TwoLayerNet(64, 10, 10)
    assert kept.predict(data.test.images).tobytes() == (
        tg.load_network(tmp_path / "last.safetensors", first).predict(data.test.images).tobytes()
    )


class Diverges(tg.optim.Optimizer):
    """Makes the parameters infinite in its third step."""

    def rule(self, w: Any, g: Any, state: Any, lr: Any, step: Any) -> Any:
        """Nothing, or too much."""
        return (w if step < 3 else w + np.float32(np.inf)), {}


def test_parameters_that_are_not_finite_are_neither_measured_nor_saved(tmp_path: Path) -> None:
    # The third step ends an epoch: they would be measured next, and saved if they were the best.
    net = tg.nn.TwoLayerNet(64, 10, 10)
    with pytest.raises(NonFiniteError) as caught:
        tg.fit(
            net,
            some_digits(),
            optimizer=Diverges(lr=0.1),
            steps=20,
            directory=tmp_path,
            progress=False,
        )
    assert str(caught.value) == (
        "after step 3: w1, shape (64, 10), is not finite; a lower learning rate may help"
    )
    for name in ("best.safetensors", "last.safetensors"):
        arrays, _ = checkpoint.load(tmp_path / name)
        assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_parameter_that_was_not_finite_before_is_named() -> None:
    w = tg.Parameter(np.array([1.0, np.nan, np.inf]), "w")
    error = explain_nonfinite((w * 2.0).sum(), step=9)
    assert str(error) == (
        "step 9: the loss is nan. w, shape (3,), 2 of 3 elements, was not finite before it: the "
        "update of an earlier step did that; a lower learning rate may help"
    )


def test_data_that_are_not_finite_are_told_from_a_computation() -> None:
    x, w = np.array([1.0, np.inf]), Tensor([0.0, 1.0], "w")
    assert str(explain_nonfinite((w * constant(x)).sum(), step=1)) == (
        "step 1: the loss is inf. The data, shape (2,), 1 of 2 elements, were not finite already"
    )


def test_overflow_division_and_empty_inputs() -> None:
    with np.errstate(all="ignore"):
        x = Tensor(np.array([1e200, -1e200]), "x")
        squares = str(explain_nonfinite((x * x).sum(), step=1))
        zero = Tensor(np.zeros(3), "zero")
        ratio = str(explain_nonfinite((1 / zero).sum() - (1 / zero).sum(), step=1))
    assert "came out of multiply, shape (2,), 2 of 2 elements" in squares
    assert squares.endswith("x (2,) from -1e+200 to 1e+200; x (2,) from -1e+200 to 1e+200")
    assert "the loss is nan" in ratio
    assert "came out of divide, shape (3,), 3 of 3 elements" in ratio  # not of the subtraction
    assert ratio.endswith("zero (3,) from 0 to 0")


def test_no_warning_of_numpys_stands_beside_the_error(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    net = tg.nn.TwoLayerNet(64, 10, 10)
    with pytest.raises(NonFiniteError):
        tg.fit(net, some_digits(), optimizer=tg.optim.SGD(lr=1e12), steps=300, progress=False)
    assert list(recwarn) == []
