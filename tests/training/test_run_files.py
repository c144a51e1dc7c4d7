"""What a run leaves in its directory, and how it is taken up again."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small import DIGITS, some_digits, values

import tarograd as tg
from commands import ALL_FILES, FILES, digests, finish, start
from tarograd import checkpoint
from tarograd.checkpoint import CheckpointError


def run(directory: Path, *, net: tg.nn.Network | None = None, **settings: Any) -> tg.History:
    net = net or tg.nn.TwoLayerNet(64, 10, 10)
    settings = {"steps": 9, "progress": False, **settings}
    return tg.fit(net, some_digits(), directory=directory, **settings)


def test_the_files(tmp_path: Path) -> None:
    net = tg.nn.TwoLayerNet(64, 10, 10)
    history = run(tmp_path / "a" / "b", net=net, optimizer=tg.optim.Momentum(lr=0.05), seed=4)
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == sorted(ALL_FILES)
    folder = tmp_path / "a" / "b"
    assert values(tg.load_network(folder / "last.safetensors")) == values(net)
    arrays, metadata = checkpoint.load(folder / "last.safetensors")
    assert arrays["history/losses"].tobytes() == history.losses.tobytes()
    assert [metadata["step"], metadata["steps"]] == [9, 9]
    best = checkpoint.load(folder / "best.safetensors")[1]
    assert [best["epoch"], best["step"]] == [history.best.epoch, history.best.step]
    kept = tg.load_network(folder)
    assert repr(kept) == "TwoLayerNet(64, 10, 10)"
    assert kept.pixel_max == 16
    assert kept.accuracy(*some_digits().test) == history.best.test_accuracy


def test_run_json_says_what_ran(tmp_path: Path) -> None:
    run(tmp_path, optimizer=tg.optim.Momentum(lr=0.05), seed=4, validation=0.2, batch_size=33)
    told = json.loads((tmp_path / "run.json").read_text())
    images = some_digits().train.images
    assert (
        told["settings"]["data_hashes"]["train_images"]
        == hashlib.sha256(images.tobytes()).hexdigest()
    )
    assert set(told["settings"].pop("data_hashes")) == {
        "train_images",
        "train_labels",
        "test_images",
        "test_labels",
    }
    assert told == {
        "settings": {
            "network": "TwoLayerNet(64, 10, 10)",
            "loss": "SoftmaxWithLoss()",
            "optimizer": "Momentum(lr=0.05)",
            "batch_size": 33,
            "sampling": "shuffle",
            "validation": 0.2,
            "seed": 4,
            "compiled": True,
            "data": "some digits",
        },
        "steps": 9,
        "versions": {
            "tarograd": tg.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def test_the_table_holds_the_history_to_the_last_digit(tmp_path: Path) -> None:
    history = run(tmp_path, validation=0.2)
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(history.epochs) == 6  # 0, 2, 4, 6, 8, 9 steps
    for row, epoch in zip(rows, history.epochs, strict=True):
        assert int(row["epoch"]) == epoch.epoch
        assert int(row["step"]) == epoch.step
        assert float(row["train_accuracy"]) == epoch.train_accuracy
        assert float(row["test_accuracy"]) == epoch.test_accuracy
        assert float(row["validation_accuracy"]) == epoch.validation_accuracy
        assert (float(row["loss"]) if row["loss"] else None) == epoch.loss
    assert list(rows[0]) == [
        "epoch",
        "step",
        "loss",
        "train_accuracy",
        "test_accuracy",
        "validation_accuracy",
    ]


def test_the_curve_is_a_picture_with_curves(tmp_path: Path) -> None:
    run(tmp_path, steps=60)
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG"
        assert picture.size == (1200, 480)
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    white = (pixels == 255).all(axis=2)
    assert 0.5 < white.mean() < 0.98
    for color in ((0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E)):  # matplotlib's first blue and orange
        near = np.abs(pixels - color).max(axis=2) < 10
        left, right = near[:, :600].sum(), near[:, 600:].sum()
        assert left > 200
        assert (right > 200) == (color[0] == 0x1F)  # of the loss there is one


def test_two_processes_with_one_seed_leave_the_same_bytes(tmp_path: Path) -> None:
    words = ("train", "--epochs", 12, "--hidden", 9, "--optimizer", "adam", "--quiet", "--out")
    processes = {
        folder: start(
            *words, folder, *more, folder=tmp_path, env=os.environ | {"PYTHONHASHSEED": hashing}
        )
        for folder, hashing, more in (("a", "1", ()), ("b", "2", ()), ("c", "1", ("--seed", 1)))
    }
    for process in processes.values():
        outcome = finish(process)
        assert outcome.code == 0, outcome
    a, b, c = (digests(tmp_path / folder) for folder in processes)
    assert a == b
    assert all(a[name] != c[name] for name in FILES)


def test_an_earlier_run_is_moved_aside_and_nothing_else_is(tmp_path: Path) -> None:
    run(tmp_path, seed=1)
    first = digests(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    run(tmp_path, seed=2)
    second = digests(tmp_path)
    run(tmp_path, seed=3)
    assert digests(tmp_path / "earlier-1") == first
    assert digests(tmp_path / "earlier-2") == second
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*ALL_FILES, "earlier-1", "earlier-2", "notes.txt"}


def test_a_run_goes_on_to_more_steps(tmp_path: Path) -> None:
    net, whole = tg.nn.TwoLayerNet(64, 10, 10), tg.nn.TwoLayerNet(64, 10, 10)
    run(tmp_path / "whole", net=whole, steps=30)
    run(tmp_path / "run", steps=12)
    history = run(tmp_path / "run", net=net, steps=30, resume=True)
    assert values(net) == values(whole)
    assert digests(tmp_path / "run") == digests(tmp_path / "whole")  # run.json too
    assert history.epochs[-1].step == 30
    assert not (tmp_path / "run" / "earlier-1").exists()


def test_from_the_middle_of_an_epoch_the_parameters_are_the_same_too(tmp_path: Path) -> None:
    net, whole = tg.nn.TwoLayerNet(64, 10, 10), tg.nn.TwoLayerNet(64, 10, 10)
    run(tmp_path / "whole", net=whole, steps=30)
    run(tmp_path / "run", steps=13)
    history = run(tmp_path / "run", net=net, steps=30, resume=True)
    assert values(net) == values(whole)
    # The row that was measured at the end of the shorter run stays.
    assert [row.step for row in history.epochs] == [*range(0, 13, 3), 13, *range(15, 31, 3)]


def test_a_finished_run_resumed_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path)
    before = digests(tmp_path)
    history = run(tmp_path, resume=True)
    assert digests(tmp_path) == before
    assert len(history.losses) == 9


def test_a_run_cannot_go_back(tmp_path: Path) -> None:
    run(tmp_path)
    before = digests(tmp_path)
    with pytest.raises(ValueError, match=r"the run has made 9 steps already, more than 8"):
        run(tmp_path, steps=8, resume=True)
    assert digests(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": tg.nn.TwoLayerNet(64, 11, 10)}, "network='TwoLayerNet(64, 10, 10)', not 'TwoL"),
        ({"loss": tg.nn.SquaredError()}, "loss='SoftmaxWithLoss()', not 'SquaredError()'"),
        ({"optimizer": tg.optim.SGD(lr=0.2)}, "optimizer='SGD(lr=0.1)', not 'SGD(lr=0.2)'"),
        ({"optimizer": tg.optim.Adam()}, "optimizer='SGD(lr=0.1)', not 'Adam(lr=0.001)'"),
        ({"batch_size": 99}, "batch_size=100, not 99"),
        ({"sampling": "replacement"}, "sampling='shuffle', not 'replacement'"),
        ({"validation": 0.1}, "validation=0.0, not 0.1"),
        ({"seed": 1}, "seed=0, not 1"),
        ({"compiled": False}, "compiled=True, not False"),
        ({"batch_size": 99, "seed": 1}, "batch_size=100, not 99"),  # the first that differs
    ],
)
def test_other_settings_are_refused_by_name(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    run(tmp_path)
    before = digests(tmp_path)
    expected = re.escape(f"{tmp_path}/last.safetensors: the run was started with {message}")
    with pytest.raises(CheckpointError, match=expected):
        run(tmp_path, resume=True, **change)
    assert digests(tmp_path) == before


def test_other_data_are_refused(tmp_path: Path) -> None:
    run(tmp_path)
    net = tg.nn.TwoLayerNet(64, 10, 10)
    with pytest.raises(CheckpointError, match=r"data='some digits', not 'digits'"):
        tg.fit(net, DIGITS, steps=9, directory=tmp_path, resume=True, progress=False)
    with pytest.raises(CheckpointError, match=r"with other data: test_images have changed since"):
        tg.fit(net, some_digits(250, 49), steps=9, directory=tmp_path, resume=True, progress=False)


def test_there_has_to_be_a_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere: there is no run to go on with, since it"):
        run(tmp_path / "nowhere", resume=True)
    tg.save_network(tg.nn.TwoLayerNet(64, 10, 10), tmp_path / "last.safetensors")
    with pytest.raises(CheckpointError, match=r"is not a run's last.safetensors: it has no sett"):
        run(tmp_path, resume=True)
    with pytest.raises(CheckpointError, match=r"cannot read .*best.safetensors: No such file"):
        tg.load_network(tmp_path)


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(CheckpointError, match=r"cannot use the directory .*run: File exists"):
        run(tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_the_network_of_a_file_is_compared_with_the_one_given(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    tg.save_network(tg.nn.TwoLayerNet(64, 10, 10), path, note="mine")
    other = tg.nn.TwoLayerNet(64, 20, 10)
    before = values(other)
    with pytest.raises(CheckpointError, match=r"w1: the file has \(64, 10\), the network \(64, 20"):
        tg.load_network(path, other)
    assert values(other) == before
    wide = tg.nn.TwoLayerNet(64, 10, 10).astype(np.float64)
    with pytest.raises(CheckpointError, match=r"w1: the file has float32, the network float64; "):
        tg.load_network(path, wide)
    assert checkpoint.load(path)[1]["note"] == "mine"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_network_is_built_with_the_dtype_of_its_file(tmp_path: Path, dtype: Any) -> None:
    for net in (
        tg.nn.TwoLayerNet(8, 5, 3, weight_init_std=0.3, seed=2),
        tg.nn.Sequential(tg.nn.Affine(8, 3, dtype=dtype), tg.nn.Sigmoid()),
    ):
        typed = net.astype(dtype)
        tg.save_network(typed, tmp_path / "net.safetensors")
        again = tg.load_network(tmp_path / "net.safetensors")
        assert values(again) == values(typed)
        assert again.dtype == dtype


def test_names_with_a_slash_are_kept_apart_from_the_optimizers(tmp_path: Path) -> None:
    class Named(tg.nn.Network):
        """A network with layers in a dictionary."""

        def __init__(self) -> None:
            super().__init__()
            self.parts = {"in/out": tg.nn.Affine(64, 10)}

        def call(self, x: Any) -> Any:
            """Scores."""
            return self.parts["in/out"](x)

    net, again = Named(), Named()
    run(tmp_path, net=net, optimizer=tg.optim.Momentum(lr=0.1))
    run(tmp_path, net=again, optimizer=tg.optim.Momentum(lr=0.1), resume=True)
    assert values(again) == values(net)
