"""The steps of a run against the same run written by hand, and with every optimizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import DIGITS, some_digits, values
from threadpoolctl import threadpool_info, threadpool_limits

import tarograd as tg
from tarograd.data import Batches
from tarograd.ops.random import bits


def by_hand(start: dict[str, Any], steps: int, lr: float, seed: int) -> tuple[Any, dict[str, Any]]:
    """The textbook's two-layer network and SGD, in float64: the losses and the parameters."""
    w1, b1, w2, b2 = (start[name].astype(np.float64) for name in ("w1", "b1", "w2", "b2"))
    batches = Batches(len(DIGITS.train), 100, seed)
    losses = []
    for step in range(steps):
        images, labels = DIGITS.train[batches.indices(step)]
        n = len(labels)
        x, t = images.reshape(n, 64) / 16, np.eye(10)[labels]
        a1 = x @ w1 + b1
        z1 = np.maximum(a1, 0)
        a2 = z1 @ w2 + b2
        e = np.exp(a2 - a2.max(axis=1, keepdims=True))
        y = e / e.sum(axis=1, keepdims=True)
        losses.append(-np.sum(t * np.log(y)) / n)
        da2 = (y - t) / n
        da1 = da2 @ w2.T * (a1 > 0)
        w1, b1 = w1 - lr * (x.T @ da1), b1 - lr * da1.sum(axis=0)
        w2, b2 = w2 - lr * (z1.T @ da2), b2 - lr * da2.sum(axis=0)
    return np.array(losses), {"w1": w1, "b1": b1, "w2": w2, "b2": b2}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_a_hundred_steps_equal_those_written_by_hand(dtype: Any, tolerance: float) -> None:
    net = tg.nn.TwoLayerNet(64, 50, 10, weight_init_std=0.1, seed=7).astype(dtype)
    start = {name: p.value for name, p in net.named_parameters().items()}
    sgd = tg.optim.SGD(lr=0.5)
    history = tg.fit(net, DIGITS, optimizer=sgd, steps=100, seed=11, progress=False)
    losses, parameters = by_hand(start, 100, 0.5, seed=11)
    assert losses[-1] < losses[0] / 4
    np.testing.assert_allclose(history.losses, losses, rtol=tolerance)
    for name, p in net.named_parameters().items():
        assert p.dtype == dtype
        np.testing.assert_allclose(p.value, parameters[name], rtol=0, atol=10 * tolerance)


RATES = {
    "sgd": 0.5,
    "momentum": 0.1,
    "nesterov": 0.1,
    "adagrad": 0.05,
    "rmsprop": 0.005,
    "adam": 0.01,
    "adamw": 0.01,
}


@pytest.mark.parametrize("name", tg.optim.OPTIMIZERS)
def test_every_optimizer_trains_and_goes_on_as_if_never_stopped(tmp_path: Path, name: str) -> None:
    nets = [tg.nn.TwoLayerNet(64, 30, 10) for _ in range(3)]
    recipe = tg.optim.OPTIMIZERS[name](lr=RATES[name], weight_decay=1e-4)
    how: dict[str, Any] = {"optimizer": recipe, "progress": False}
    whole = tg.fit(nets[0], DIGITS, epochs=12, **how)
    assert whole.best.test_accuracy > 0.9
    tg.fit(nets[1], DIGITS, epochs=5, directory=tmp_path, **how)
    rest = tg.fit(nets[2], DIGITS, epochs=12, directory=tmp_path, resume=True, **how)
    assert values(nets[2]) == values(nets[0])
    assert rest.epochs == whole.epochs
    assert rest.losses.tobytes() == whole.losses.tobytes()
    assert recipe.step_count == 0  # the recipe can be used again


def test_a_schedule_counts_the_steps_of_the_whole_run(tmp_path: Path) -> None:
    nets = [tg.nn.TwoLayerNet(64, 10, 10) for _ in range(3)]
    schedule = tg.optim.warm_up(tg.optim.cosine(0.5, steps=20), steps=5)
    how: dict[str, Any] = {"optimizer": tg.optim.SGD(lr=schedule), "progress": False}
    whole = tg.fit(nets[0], some_digits(), steps=30, **how)
    tg.fit(nets[1], some_digits(), steps=12, directory=tmp_path, **how)
    tg.fit(nets[2], some_digits(), steps=30, directory=tmp_path, resume=True, **how)
    assert values(nets[2]) == values(nets[0])
    assert whole.losses[20] < whole.losses[0]


def with_dropout(seed: int = 0) -> tg.nn.Sequential:
    nn = tg.nn
    return nn.Sequential(
        nn.Dropout(0.2), nn.Affine(64, 50), nn.ReLU(), nn.Dropout(0.5), nn.Affine(50, 10), seed=seed
    )


def test_dropout_trains_and_goes_on_with_the_masks_that_it_would_have_drawn(tmp_path: Path) -> None:
    nets = [with_dropout() for _ in range(4)]
    how: dict[str, Any] = {"optimizer": tg.optim.SGD(lr=0.5), "progress": False}
    whole = tg.fit(nets[0], DIGITS, steps=300, **how)
    assert whole.best.test_accuracy > 0.93
    tg.fit(nets[1], DIGITS, steps=137, directory=tmp_path, **how)
    rest = tg.fit(nets[2], DIGITS, steps=300, directory=tmp_path, resume=True, **how)
    assert values(nets[2]) == values(nets[0])
    assert rest.losses.tobytes() == whole.losses.tobytes()
    other = tg.fit(nets[3], DIGITS, steps=300, seed=1, **how)
    assert other.losses[0] != whole.losses[0]


def test_the_masks_of_dropout_follow_from_seed_and_step() -> None:
    net = tg.nn.Sequential(tg.nn.Affine(64, 10), tg.nn.Dropout(0.5))
    start = {name: p.value for name, p in net.named_parameters().items()}
    history = tg.fit(net, DIGITS, steps=1, seed=9, progress=False)
    images, labels = DIGITS.train[Batches(1438, 100, 9).indices(0)]
    scores = images.reshape(100, 64).astype(np.float32) / 16 @ start["affine1.w"]
    words = bits(1000, seed=9, step=0, stream="sequential.dropout1").reshape(100, 10)
    scores = scores * ((words >> np.uint64(11)) * 2.0**-53 < 0.5) * 2
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(100), labels]
    assert history.losses[0] == pytest.approx(losses.mean(), rel=1e-6)


class Threads(tg.nn.Layer):
    """Passes its input on, and remembers how many threads each library has then."""

    def __init__(self) -> None:
        self.seen: tuple[int, ...] = ()

    def call(self, x: Any) -> Any:
        """Any shape; gives the same."""
        self.seen = (*self.seen, *blas_threads())
        return x


def blas_threads() -> list[int]:
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


def test_matrix_products_use_one_thread_in_a_run_and_what_they_had_after_it() -> None:
    if not blas_threads():
        pytest.skip("NumPy's matrix products here are of no library that threadpoolctl knows")
    watch = Threads()
    net = tg.nn.Sequential(watch, tg.nn.Affine(64, 10))
    with threadpool_limits(limits=3, user_api="blas"):
        before = blas_threads()
        watch.seen = ()
        tg.fit(net, some_digits(), steps=4, progress=False)
        rehearsal, run = watch.seen[: 2 * len(before)], watch.seen[2 * len(before) :]
        assert blas_threads() == before
    assert set(rehearsal) == set(before)
    assert set(run) == {1}
    assert len(run) >= 4


def test_after_a_failed_run_the_threads_are_as_before() -> None:
    if not blas_threads():
        pytest.skip("NumPy's matrix products here are of no library that threadpoolctl knows")
    net = tg.nn.TwoLayerNet(64, 10, 10)
    with threadpool_limits(limits=3, user_api="blas"):
        before = blas_threads()
        with pytest.raises(ArithmeticError):
            tg.fit(net, some_digits(), optimizer=tg.optim.SGD(lr=1e30), steps=100, progress=False)
        assert blas_threads() == before
