"""fit: which batches it makes, what it measures when, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import DIGITS, Watch, as_floats, some_digits, values

import tarograd as tg
from tarograd.data import Dataset, Split
from tarograd.tensor import Tensor


def train(**settings: Any) -> tg.History:
    net = tg.nn.TwoLayerNet(64, 10, 10)
    return tg.fit(net, some_digits(), progress=False, **settings)


def test_it_measures_before_the_first_step_after_each_epoch_and_at_the_end() -> None:
    data, net = some_digits(), tg.nn.TwoLayerNet(64, 10, 10)
    net.pixel_max = 16
    first = [float(np.mean(net.predict(x).argmax(axis=1) == t)) for x, t in (data.train, data.test)]
    history = tg.fit(net, data, batch_size=100, steps=8, progress=False)
    assert isinstance(history, tg.History)
    assert [(row.epoch, row.step) for row in history.epochs] == [(0, 0), (1, 3), (2, 6), (3, 8)]
    assert [history.epochs[0].train_accuracy, history.epochs[0].test_accuracy] == first
    assert history.epochs[0].loss is None
    for before, row in zip(history.epochs, history.epochs[1:], strict=False):
        assert row.loss == pytest.approx(np.mean(history.losses[before.step : row.step]), rel=1e-14)
    last = [float(np.mean(net.predict(x).argmax(axis=1) == t)) for x, t in (data.train, data.test)]
    assert [history.epochs[-1].train_accuracy, history.epochs[-1].test_accuracy] == last
    assert history.losses.shape == (8,)
    assert history.losses[0] == pytest.approx(np.log(10), rel=1e-3)  # nothing known of ten classes


@pytest.mark.parametrize(
    ("batch_size", "sampling", "rows"),
    [
        (100, "shuffle", [100, 100, 50] * 2),
        (125, "shuffle", [125, 125] * 2),
        (250, "shuffle", [250] * 2),
        (1000, "shuffle", [250] * 2),
        (100, "replacement", [100, 100] * 2),  # 250 // 100, as in the text
        (1000, "replacement", [1000] * 2),
    ],
)
def test_the_batches_of_two_epochs(batch_size: int, sampling: Any, rows: list[int]) -> None:
    watch = Watch()
    net = tg.nn.Sequential(watch, tg.nn.Affine(64, 10))
    data = some_digits()
    how: dict[str, Any] = {"batch_size": batch_size, "sampling": sampling, "epochs": 2}
    # Compiled, the layer would be called once, to trace it.
    history = tg.fit(net, data, progress=False, compiled=False, **how)
    assert list(watch.rows) == rows
    assert [row.step for row in history.epochs] == [0, len(rows) // 2, len(rows)]


def test_the_length_of_a_run() -> None:
    assert len(train(steps=7).losses) == 7
    assert len(train(epochs=2).losses) == 6
    assert len(train().losses) == 30  # ten epochs
    assert len(train(steps=np.int64(2), batch_size=np.int32(50), seed=np.uint8(1)).losses) == 2


@pytest.mark.parametrize("nothing", [{"steps": 0}, {"epochs": 0}])
def test_a_run_of_no_steps_measures_and_changes_nothing(
    tmp_path: Path, nothing: dict[str, Any]
) -> None:
    net = tg.nn.TwoLayerNet(64, 10, 10)
    before = values(net)
    history = tg.fit(net, some_digits(), directory=tmp_path, progress=False, **nothing)
    assert values(net) == before
    assert [row.step for row in history.epochs] == [0]
    assert values(tg.load_network(tmp_path)) == before


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    nets = [tg.nn.TwoLayerNet(64, 10, 10) for _ in range(3)]
    runs = [
        tg.fit(net, some_digits(), steps=9, seed=seed, progress=False)
        for net, seed in zip(nets, (5, 5, 6), strict=True)
    ]
    assert values(nets[0]) == values(nets[1]) != values(nets[2])
    assert runs[0].losses.tobytes() == runs[1].losses.tobytes() != runs[2].losses.tobytes()
    assert runs[0].epochs == runs[1].epochs


def test_validation_images_are_held_out_and_choose_the_best_epoch(tmp_path: Path) -> None:
    watch = Watch()
    net = tg.nn.Sequential(watch, tg.nn.Affine(64, 10))
    fast = tg.optim.SGD(lr=0.5)
    how: dict[str, Any] = {"optimizer": fast, "validation": 0.1, "epochs": 30}
    history = tg.fit(net, DIGITS, directory=tmp_path, progress=False, compiled=False, **how)
    held = 144  # a tenth of 1438
    assert list(watch.rows) == ([100] * 12 + [94]) * 30  # 1294 in an epoch
    for row in history.epochs:
        assert row.validation_accuracy is not None
        for share, size in (
            (row.validation_accuracy, held),
            (row.train_accuracy, 1438 - held),
            (row.test_accuracy, 359),
        ):
            assert share * size == pytest.approx(round(share * size), abs=1e-6)
    shares = [row.validation_accuracy for row in history.epochs]
    best = shares.index(max(s for s in shares if s is not None))
    assert history.best is history.epochs[best]
    assert history.best.test_accuracy < max(row.test_accuracy for row in history.epochs)
    kept = tg.nn.Sequential(Watch(), tg.nn.Affine(64, 10))
    tg.load_network(tmp_path, kept)
    assert kept.accuracy(*DIGITS.test) == history.best.test_accuracy


def test_float_images_train_to_the_same_bits_as_the_bytes_that_they_are_made_of() -> None:
    nets = [tg.nn.TwoLayerNet(64, 10, 10) for _ in range(2)]
    data = some_digits()
    runs = [
        tg.fit(net, d, steps=12, progress=False)
        for net, d in zip(nets, (data, as_floats(data)), strict=True)
    ]
    assert runs[0].losses.tobytes() == runs[1].losses.tobytes()
    assert values(nets[0]) == values(nets[1])


def test_a_users_own_npz(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    images = (np.eye(3, dtype=np.uint8)[labels] * 200).reshape(90, 1, 3)  # the label is lit
    np.savez(
        tmp_path / "lights.npz",
        train_images=images[:60],
        train_labels=labels[:60],
        test_images=images[60:],
        test_labels=labels[60:],
    )
    data = tg.data.load(tmp_path / "lights.npz")
    net = tg.nn.TwoLayerNet(3, 8, 3, weight_init_std=0.5)
    fast = tg.optim.SGD(lr=1.0)
    history = tg.fit(net, data, optimizer=fast, batch_size=16, epochs=20, progress=False)
    assert history.epochs[-1].test_accuracy == 1.0
    assert net.pixel_max == 255


class Shared(tg.nn.Network):
    """A network with one layer that is used twice, and a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = tg.nn.Affine(64, 16)
        self.middle = tg.nn.Affine(16, 16)
        self.last = tg.nn.Affine(16, 10)
        self.slope = tg.Parameter(np.array(1.0, np.float32))

    def call(self, x: Any) -> Any:
        """Scores (n, 10)."""
        x = self.first(x).relu()
        return self.last(self.middle(self.middle(x).relu()).relu()) * self.slope


def test_a_network_class_of_the_user(tmp_path: Path) -> None:
    net = Shared()
    fast = tg.optim.SGD(lr=0.3)
    history = tg.fit(net, DIGITS, optimizer=fast, epochs=20, directory=tmp_path, progress=False)
    assert history.best.test_accuracy > 0.9
    assert float(net.slope.value) != 1.0
    again = tg.load_network(tmp_path, Shared())
    assert again.accuracy(*DIGITS.test) == history.best.test_accuracy
    with pytest.raises(ValueError, match=r"'Shared' is not the name of a layer, network"):
        tg.load_network(tmp_path)


class Angles(tg.nn.Network):
    """The cosines between images and columns of an Affine, whose biases it does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.last = tg.nn.Affine(64, 10, seed=0)

    def call(self, x: Any) -> Any:
        """The scores, from -5 to 5."""
        x, w = x.reshape(len(x), -1), self.last.w
        lengths = np.linalg.norm(x, axis=1, keepdims=True) * np.linalg.norm(w, axis=0)
        return 5 * (x @ w) / lengths


@pytest.mark.parametrize("compiled", [True, False])
def test_a_parameter_without_which_the_loss_is_computed_stays(compiled: bool) -> None:
    net, adam = Angles(), tg.optim.Adam(lr=0.01)
    history = tg.fit(net, DIGITS, optimizer=adam, epochs=5, progress=False, compiled=compiled)
    assert history.best.test_accuracy > 0.8
    assert not net.last.b.value.any()


def test_squared_error_is_given_rows_of_0_and_1() -> None:
    data, net = some_digits(), tg.nn.Sequential(tg.nn.Affine(64, 10))
    net.pixel_max = 16
    batch = data.train[tg.data.Batches(250, 100, 0).indices(0)]
    apart = net.predict(batch.images) - np.eye(10)[batch.labels]
    loss = tg.nn.SquaredError()
    history = tg.fit(net, data, loss=loss, epochs=60, progress=False)
    assert history.losses[0] == pytest.approx(0.5 * np.sum(apart**2) / 100, rel=1e-5)
    assert history.best.train_accuracy > 0.8


def test_a_loss_of_the_user_is_given_scores_and_labels() -> None:
    class Distance(tg.nn.Layer):
        """The mean distance between the second score and the label."""

        def call(self, x: Any, t: Any) -> Any:
            """Scores (n, 10) and labels (n,)."""
            assert x.shape[1:] == (10,)
            assert t.shape == x.shape[:1]
            return np.abs(x[:, 1] - t.astype(np.float32)).mean()

    history = train(loss=Distance(), epochs=20)
    assert history.losses[0] == pytest.approx(4.5, abs=0.6)  # the scores are 0 as yet
    assert history.losses[-3:].mean() < 3


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "both": ({"steps": 3, "epochs": 1}, "steps=3 and epochs=1: give one of the two"),
    "negative steps": ({"steps": -1}, "steps=-1: a whole number from 0 to 10000000000 is needed"),
    "negative epochs": (
        {"epochs": -5},
        "epochs=-5: a whole number from 0 to 10000000000 is needed",
    ),
    "too many steps": ({"steps": 10**11}, "a whole number from 0 to 10000000000 is needed"),
    "broken steps": ({"steps": 1.5}, "steps=1.5: a whole number from 0 to 10000000000 is needed"),
    "steps as text": (
        {"steps": "100"},
        "steps='100': a whole number from 0 to 10000000000 is needed",
    ),
    "steps as a truth": (
        {"steps": True},
        "steps=True: a whole number from 0 to 10000000000 is needed",
    ),
    "no batch": ({"batch_size": 0}, "batch_size=0: it is a number of images"),
    "negative batch": ({"batch_size": -100}, "batch_size=-100: it is a number of images"),
    "broken batch": ({"batch_size": 2.5}, "batch_size=2.5: it is a number of images"),
    "sampling": ({"sampling": "random"}, "sampling='random': write 'shuffle' to see every image"),
    "negative seed": ({"seed": -1}, "seed=-1: a whole number from 0 to 2**64 - 1 is needed"),
    "huge seed": ({"seed": 2**64}, "a whole number from 0 to 2**64 - 1 is needed"),
    "broken seed": ({"seed": 0.5}, "seed=0.5: a whole number"),
    "no seed": ({"seed": None}, "seed=None: a whole number"),
    "negative share": ({"validation": -0.1}, "fraction=-0.1: it must lie between 0 and 1"),
    "whole share": ({"validation": 1.0}, "fraction=1.0: it must lie between 0 and 1"),
    "tiny share": ({"validation": 0.001}, "leaves 250 to train on and 0 for validation"),
    "share as text": ({"validation": "0.1"}, "validation='0.1': a share is needed, 0.1 for"),
    "share is NaN": ({"validation": float("nan")}, "fraction=nan: it must lie between 0 and 1"),
    "share as a truth": ({"validation": True}, "validation=True: a share is needed"),
    "loss class": (
        {"loss": tg.nn.SquaredError},
        "fit: loss=the class SquaredError: a layer, such as tg.nn.SoftmaxWithLoss(), is needed",
    ),
    "loss as text": ({"loss": "mse"}, "fit: loss='mse': a layer"),
    "loss of another kind": ({"loss": tg.nn.ReLU()}, "call() takes 2 positional arguments but 3"),
    "optimizer class": (
        {"optimizer": tg.optim.SGD},
        "fit: optimizer=the class SGD: an optimizer, such as tg.optim.SGD(lr=0.1), is needed",
    ),
    "optimizer as text": ({"optimizer": "adam"}, "fit: optimizer='adam': an optimizer"),
    "learning rate": ({"optimizer": 0.1}, "fit: optimizer=0.1: an optimizer"),
    "directory": ({"directory": 7}, "fit: directory=7: the path of a folder is needed"),
    "resume as path": (
        {"resume": "runs/first"},
        "fit: resume='runs/first': True or False, and the folder as directory=, is needed",
    ),
    "compiled as text": (
        {"compiled": "yes"},
        "compiled='yes': True, False or \"dense\" is needed",
    ),
    "resume from nowhere": ({"resume": True}, "resume=True needs directory="),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_setting_is_named_with_the_way_out(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        train(**settings)


def test_what_is_no_network_and_no_data_set() -> None:
    data: Any = DIGITS
    net: Any = tg.nn.TwoLayerNet(64, 10, 10)
    with pytest.raises(TypeError, match=r"fit: network=Affine\(64, 10\): tg.nn.Sequential"):
        tg.fit(tg.nn.Affine(64, 10), data)  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(TypeError, match=r"fit: network=the class TwoLayerNet: "):
        tg.fit(tg.nn.TwoLayerNet, data)  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(TypeError, match=r"fit: data=a tuple: what tg.data.load gives, or a tg"):
        tg.fit(net, (data.train.images, data.train.labels))  # type: ignore[arg-type]  # likewise
    with pytest.raises(TypeError, match=r"fit: data='digits': what tg.data.load gives"):
        tg.fit(net, "digits")  # type: ignore[arg-type]  # likewise
    with pytest.raises(TypeError, match=r"fit: data=Split\(images=uint8 \(1438, 8, 8\)"):
        tg.fit(net, data.train)


class Rows(tg.nn.Layer):
    """A loss of each row, whose mean was forgotten."""

    def call(self, x: Any, t: Any) -> Any:
        """Scores and labels."""
        return x.sum(axis=1)


class Number(Rows):
    """A loss that left the graph."""

    def call(self, x: Any, t: Any) -> Any:
        """Scores and labels."""
        return float(x.sum()) if isinstance(x, Tensor) else 0.0


def test_what_does_not_fit_is_refused_before_a_file_is_touched(tmp_path: Path) -> None:
    run = tmp_path / "run"
    good = tg.nn.TwoLayerNet(64, 10, 10)
    tg.fit(good, some_digits(), steps=3, directory=run, progress=False)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    nine = Split(np.zeros((9, 4, 5), np.uint8), np.zeros(9, np.int64))
    wide = Dataset("wide", nine, nine, classes=1, pixel_max=255)
    broken = tg.nn.TwoLayerNet(64, 10, 10)
    broken.w2.value = np.full((10, 10), np.nan)
    cases: list[tuple[Any, Dataset, Any, str]] = [
        (good, wide, None, r"TwoLayerNet\(64, 10, 10\) does not fit the data 'wide', images of "
         r"shape \(4, 5\): affine: x \(2, 20\), w \(64, 10\)"),
        (tg.nn.TwoLayerNet(64, 10, 9), DIGITS, None, r"its scores for 2 images have the shape "
         r"\(2, 9\); \(2, 10\) is needed, a score for each class"),
        (good, DIGITS, Rows(), r"the loss Rows\(\) gives \(2,\): a Tensor of one number"),
        (good, DIGITS, Number(), r"the loss Number\(\) gives float: a Tensor of one number"),
        (broken, DIGITS, None, r"after step 0: w2, shape \(10, 10\), is not finite$"),
    ]  # fmt: skip
    for net, data, loss, message in cases:
        with pytest.raises((ValueError, ArithmeticError), match=message):
            tg.fit(net, data, loss=loss, directory=run, progress=False)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
