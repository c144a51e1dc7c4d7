"""Accuracies as machine code: those that eager code gives, and nothing hidden."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tarograd as tg
from tarograd.compiler import Recipe, Untraceable
from tarograd.nn.models import CHUNK
from tarograd.training import scorer
from tarograd.training.scorer import Scorer

DIGITS = tg.data.load("digits")
NETWORKS: dict[str, Callable[[], tg.nn.Network]] = {
    "two layers": lambda: tg.nn.TwoLayerNet(64, 17, 10),
    "dropout": lambda: tg.nn.Sequential(
        tg.nn.Affine(64, 30), tg.nn.Tanh(), tg.nn.Dropout(0.4), tg.nn.Affine(30, 10)
    ),
    "float64": lambda: tg.nn.TwoLayerNet(64, 17, 10).astype(np.float64),
}  # fmt: skip


def asked(net: tg.nn.Network, sparse: tuple[str, ...] = (), threads: int = 1) -> Scorer:
    net.pixel_max = DIGITS.pixel_max
    sgd = tg.optim.SGD(net.parameters())
    images, labels = DIGITS.train
    return Scorer(Recipe(net, net.criterion, sgd, images, labels), sparse, threads)


def nothing() -> None:
    """What there is to do between two calls."""


@pytest.mark.parametrize("sparse", [(), ("images",)])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 7, 1438])
def test_it_counts_the_same_images(network: str, sparse: Any, count: int) -> None:
    net, split = NETWORKS[network](), DIGITS.train[:count]
    tg.fit(net, DIGITS, steps=40, progress=False)
    assert asked(net, sparse=sparse).accuracy(split, 1, nothing) == net.accuracy(*split)


def test_of_equal_scores_the_first_class_counts() -> None:
    net = tg.nn.TwoLayerNet(64, 17, 10)
    for p in net.parameters():
        p.value = np.zeros(p.shape, p.dtype)
    zeros = float(np.mean(DIGITS.train.labels == 0))
    assert asked(net).accuracy(DIGITS.train, 1, nothing) == zeros


def test_it_reads_the_parameters_anew_and_other_images_too() -> None:
    net = tg.nn.TwoLayerNet(64, 17, 10)
    compiled = asked(net)
    for _ in range(3):
        tg.fit(net, DIGITS, steps=30, progress=False)
        for split in (DIGITS.train, DIGITS.train[500:1300]):
            assert compiled.accuracy(split, 1, nothing) == net.accuracy(*split)


def test_threads_count_the_same_images() -> None:
    net = tg.nn.TwoLayerNet(64, 170, 10)
    tg.fit(net, DIGITS, steps=40, progress=False)
    compiled = asked(net, threads=3)
    found = {compiled.accuracy(DIGITS.train, threads, nothing) for threads in (1, 2, 3)}
    assert found == {net.accuracy(*DIGITS.train)}


class Centered(tg.nn.Layer):
    """Takes the mean of the rows that are computed together."""

    def call(self, x: Any) -> Any:
        return x - x.mean(axis=0)


def test_as_many_rows_are_computed_together_as_by_predict() -> None:
    net = tg.nn.Sequential(tg.nn.Affine(64, 10), Centered())
    tg.fit(net, DIGITS, steps=40, progress=False)
    split = DIGITS.train[: 2 * CHUNK + 100]
    assert asked(net).accuracy(split, 1, nothing) == net.accuracy(*split)


def test_a_network_with_its_own_accuracy_is_asked_itself() -> None:
    class Lenient(tg.nn.TwoLayerNet):
        def accuracy(self, x: Any, t: Any) -> float:
            return 1.0

    with pytest.raises(Untraceable, match="Lenient has its own accuracy"):
        asked(Lenient(64, 17, 10))


def test_wrong_scores_are_found_by_the_name_of_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    from tarograd.compiler.llvm import functions, operations
    from tarograd.ops import elementwise

    monkeypatch.setitem(
        operations.EMITTERS, elementwise.tanh, lambda b, v, x: functions.exp(b, x[0])
    )
    with pytest.raises(
        ArithmeticError, match=r"scores .* differs is tanh 'z1' of shape .* in tanh1"
    ):
        asked(NETWORKS["dropout"]()).accuracy(DIGITS.train, 1, nothing)


def test_a_wrong_maximum_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from tarograd.compiler.llvm import kernels

    def smaller(b: Any, _x: Any, element: Any, best: Any) -> Any:
        return b.fcmp_ordered("<", element, best)

    monkeypatch.setattr(kernels, "is_larger", smaller)
    with pytest.raises(ArithmeticError, match=r"other maxima; .* differs is argmax"):
        asked(NETWORKS["two layers"]()).accuracy(DIGITS.train, 1, nothing)


def test_of_scores_that_are_nearly_right_rounding_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = asked(NETWORKS["two layers"]())
    network, seen = compiled.recipe.network, list[Any]()

    def looked(*given: Any) -> None:
        seen.append(given)

    monkeypatch.setattr(scorer, "unequal", looked)
    accuracy = compiled.accuracy(DIGITS.train, 1, nothing)
    assert (accuracy, seen) == (network.accuracy(*DIGITS.train), [])
    monkeypatch.setattr(scorer, "NEAR", 0.0)
    assert asked(network).accuracy(DIGITS.train, 1, nothing) == accuracy
    assert len(seen) == 1


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little work it is."""
    monkeypatch.setattr(scorer, "WORTH", 0)


@pytest.mark.usefixtures("always")
def test_a_run_uses_it_and_gives_the_accuracies_of_eager_code() -> None:
    nets = [tg.nn.TwoLayerNet(64, 17, 10) for _ in range(2)]
    fast, slow = (
        tg.fit(net, DIGITS, epochs=4, validation=0.3, compiled=compiled, progress=False)
        for net, compiled in zip(nets, (True, False), strict=True)
    )
    assert "accuracies: machine code" in fast.explain()
    for a, b in zip(fast.epochs, slow.epochs, strict=True):
        assert (a.train_accuracy, a.test_accuracy) == (b.train_accuracy, b.test_accuracy)
        assert a.validation_accuracy == b.validation_accuracy


def test_little_work_is_left_to_numpy() -> None:
    history = tg.fit(tg.nn.TwoLayerNet(64, 17, 10), DIGITS, steps=3, progress=False)
    assert "accuracies: NumPy, too little work" in history.explain()


@pytest.mark.usefixtures("always")
def test_a_signal_while_the_accuracies_are_computed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    def trained(**how: Any) -> Any:
        net = tg.nn.TwoLayerNet(64, 17, 10)
        return net, tg.fit(net, DIGITS, steps=70, batch_size=50, progress=False, **how)

    whole, expected = trained()
    accuracy = Scorer.accuracy

    def struck(self: Scorer, split: Any, threads: int, pause: Callable[[], None]) -> float:
        if self.recipe.optimizer.step_count == 29:  # the end of the first epoch
            signal.raise_signal(signal.SIGTERM)
        return accuracy(self, split, threads, pause)

    monkeypatch.setattr(Scorer, "accuracy", struck)
    with pytest.raises(tg.training.Interrupted):
        trained(directory=tmp_path)
    monkeypatch.setattr(Scorer, "accuracy", accuracy)
    net, history = trained(directory=tmp_path, resume=True)
    assert history.epochs == expected.epochs
    for p, q in zip(net.parameters(), whole.parameters(), strict=True):
        np.testing.assert_array_equal(p.value, q.value)
