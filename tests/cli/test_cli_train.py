"""tarograd train: what its options do, and what the default run reaches."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from words import call, refusal

import tarograd as tg
from commands import ALL_FILES, digests, taro
from tarograd import checkpoint

DIGITS = tg.data.load("digits")
REAL_MNIST = Path(os.environ.get("TAROGRAD_DATA", ""), "mnist", "train-images-idx3-ubyte.gz")


def settings(run: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((run / "run.json").read_text())
    return {**told["settings"], "steps": told["steps"]}


def test_the_default_run_recognizes_97_of_100_digits(tmp_path: Path) -> None:
    outcome = taro("train", folder=tmp_path)
    assert outcome.code == 0
    run = tmp_path / "runs" / "digits"
    assert sorted(path.name for path in run.iterdir()) == sorted(ALL_FILES)
    accuracy = tg.load_network(run).accuracy(*DIGITS.test)
    assert accuracy >= 0.97
    best, kept = outcome.out.splitlines()
    assert re.fullmatch(r"best: epoch \d+  step \d+  loss .*  train .*  test 0\.\d{4}", best)
    assert float(best.split()[-1]) == pytest.approx(accuracy, abs=5e-5)
    assert kept == (
        "kept in runs/digits; look at its report.html, or try: "
        "tarograd predict runs/digits IMAGE.png"
    )
    told = settings(run)
    assert told.pop("data_hashes") == DIGITS.hashes
    assert told == {
        "network": "TwoLayerNet(64, 50, 10)",
        "loss": "SoftmaxWithLoss()",
        "optimizer": "SGD(lr=0.1)",
        "batch_size": 100,
        "sampling": "shuffle",
        "validation": 0.0,
        "seed": 0,
        "compiled": True,
        "data": "digits",
        "steps": 10000,
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--hidden", 7), {"network": "TwoLayerNet(64, 7, 10)"}),
        (("--seed", 3), {"network": "TwoLayerNet(64, 50, 10, seed=3)", "seed": 3}),
        (
            ("--layers", "9"),
            {"network": re.compile(r".*\(Affine\(64, 9\), ReLU\(\), Affine\(9, 10\).*")},
        ),
        (("--layers", " 9, 8"), {"network": re.compile(r".*ReLU\(\), Affine\(9, 8\), ReLU\(\).*")}),
        (("--optimizer", "adam"), {"optimizer": "Adam(lr=0.001)"}),
        (("--optimizer", "momentum"), {"optimizer": "Momentum(lr=0.01)"}),
        (("--optimizer", "adamw", "--lr", 0.5), {"optimizer": "AdamW(lr=0.5)"}),
        (("--lr", 0.25), {"optimizer": "SGD(lr=0.25)"}),
        (("--batch-size", 33), {"batch_size": 33}),
        (("--sampling", "replacement"), {"sampling": "replacement"}),
        (("--validation", 0.25), {"validation": 0.25}),
    ],
)
def test_an_option_becomes_a_setting(
    tmp_path: Path, words: tuple[object, ...], expected: dict[str, Any]
) -> None:
    outcome = call("train", *words, "--steps", 2, "--quiet", "--out", tmp_path / "run")
    assert (outcome.code, outcome.err) == (0, "")
    told = settings(tmp_path / "run")
    for name, value in expected.items():
        if isinstance(value, re.Pattern):
            assert value.fullmatch(told[name])
        else:
            assert told[name] == value
    assert len(checkpoint.load(tmp_path / "run" / "last.safetensors")[0]["history/losses"]) == 2


def test_layers_and_validation_do_train(tmp_path: Path) -> None:
    words = ("--layers", "40,20", "--lr", 0.3, "--epochs", 60, "--validation", 0.2)
    outcome = call("train", *words, "--quiet", "--out", tmp_path)
    assert outcome.code == 0
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 61
    assert max(float(row["validation_accuracy"]) for row in rows) > 0.9
    net = tg.load_network(tmp_path)
    assert [p.shape for p in net.parameters()] == [
        (64, 40),
        (40,),
        (40, 20),
        (20,),
        (20, 10),
        (10,),
    ]
    assert re.search(r"  validation 0\.9\d{3}$", outcome.out.splitlines()[0])


def test_epochs_of_both_samplings(tmp_path: Path) -> None:
    for sampling, steps in (("shuffle", 15), ("replacement", 14)):
        words = ("--sampling", sampling, "--epochs", 2, "--quiet", "--out", tmp_path / sampling)
        assert call("train", *words).code == 0
        assert settings(tmp_path / sampling)["steps"] == 2 * steps


def test_your_own_data_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.arange(40, dtype=np.uint8).reshape(10, 2, 2)
    labels = np.arange(10) % 3
    np.savez("my.own.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert call("train", "--data", "my.own.npz", "--steps", 3, "--quiet").code == 0
    assert settings(Path("runs/my.own"))["network"] == "TwoLayerNet(4, 50, 3)"
    resumed = call("train", "--resume", "runs/my.own", "--steps", 5, "--quiet")
    assert resumed.code == 0
    assert settings(Path("runs/my.own"))["steps"] == 5
    np.savez("my.own.npz", x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    message = "with other data: test_images have changed since"
    assert message in refusal("train", "--resume", "runs/my.own", "--steps", 6, "--quiet")


def test_resume_takes_the_folder_or_its_file_and_more_steps(tmp_path: Path) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    words = ("--hidden", 9, "--seed", 5, "--optimizer", "rmsprop", "--validation", 0.1, "--quiet")
    assert call("train", *words, "--epochs", 6, "--out", whole).code == 0
    assert call("train", *words, "--epochs", 2, "--out", run).code == 0
    assert call("train", "--resume", run / "last.safetensors", "--epochs", 4, "--quiet").code == 0
    outcome = call("train", "--resume", run, "--steps", 78, "--quiet")
    assert digests(run) == digests(whole)
    assert outcome.out.splitlines()[1].startswith(f"kept in {run}; look at")
    assert refusal("train", "--resume", run, "--steps", 77, "--quiet") == (
        "the run has made 78 steps already, more than 77"
    )
    assert call("train", "--resume", run, "--quiet") == outcome  # it is finished
    assert digests(run) == digests(whole)


def test_a_second_run_leaves_the_first_one_aside(tmp_path: Path) -> None:
    words = ("--quiet", "--steps", 2, "--out", tmp_path)
    call("train", *words)
    first = digests(tmp_path)
    call("train", *words, "--seed", 1)
    assert digests(tmp_path / "earlier-1") == first


def test_a_loss_that_is_no_number_ends_with_1_and_one_line(tmp_path: Path) -> None:
    outcome = taro("train", "--lr", "1e30", "--quiet", "--out", "run", folder=tmp_path)
    assert outcome.code == 1
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith("tarograd: step 2: the loss is nan. The first value that is not finite")
    assert "Its inputs: the output of relu (100, 50) from 0 to " in line
    arrays, metadata = checkpoint.load(tmp_path / "run" / "last.safetensors")
    assert metadata["step"] == 0
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert tg.load_network(tmp_path / "run").accuracy(*DIGITS.test) > 0


@pytest.mark.skipif(not REAL_MNIST.exists(), reason="the real MNIST is not in TAROGRAD_DATA")
def test_the_real_mnist(tmp_path: Path) -> None:
    words = ("--data", "mnist", "--steps", 600, "--quiet", "--out", tmp_path)
    outcome = call("train", *words)
    assert (outcome.code, outcome.err) == (0, "")
    net = tg.load_network(tmp_path)
    assert net.pixel_max == 255
    assert (
        net.accuracy(*tg.data.load("mnist").test) > 0.89
    )  # the text's after its first epoch is 0.90


def test_dense_multiplies_the_zeros_too(tmp_path: Path) -> None:
    x, t = np.zeros((400, 8, 8), np.uint8), np.arange(400) % 2
    x[:, 3, 3] = 1 + t
    data = tmp_path / "dots.npz"
    np.savez(data, train_images=x, train_labels=t, test_images=x, test_labels=t)
    words = ("train", "--data", data, "--steps", 9, "--quiet", "--explain")
    skipping = call(*words, "--out", tmp_path / "a")
    dense = call(*words, "--out", tmp_path / "b", "--dense")
    assert "zeros of the images: left out" in skipping.out
    assert "zeros of the images: multiplied" in dense.out
    best = [tmp_path / folder / "best.safetensors" for folder in "ab"]
    assert best[0].read_bytes() == best[1].read_bytes()


def test_explain_says_what_the_machine_code_consists_of(tmp_path: Path) -> None:
    words = ("train", "--steps", 2, "--quiet", "--explain", "--out", tmp_path)
    outcome = call(*words)
    assert outcome.code == 0
    assert "[affine1, relu1" in outcome.out
    assert "of the machine's peak" in outcome.out
    assert re.search(r"zeros of the images: .*; \d+% of the pixels are not zero", outcome.out)
    eager = call(*words, "--eager").out.splitlines()
    assert eager[0] == "not compiled: compiled=False, or --eager"
