"""Checkpoints that are valid safetensors files with wild content: one line each, nothing else."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import DIGITS

import tarograd as tg
from commands import script
from tarograd import checkpoint
from tarograd.checkpoint import CheckpointError
from tarograd.cli import main

Arrays = dict[str, Any]
Metadata = dict[str, Any]
Change = Callable[[Arrays, Metadata], object]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that could go on, and an image."""
    folder = tmp_path_factory.mktemp("run")
    net = tg.nn.TwoLayerNet(64, 6, 10)
    how: dict[str, Any] = {"steps": 30, "directory": folder, "progress": False}
    tg.fit(net, DIGITS, optimizer=tg.optim.Adam(lr=0.01), **how)
    np.save(folder / "image.npy", DIGITS.test.images[0])
    return folder


def put(**fields: Any) -> Change:
    """Other metadata."""
    return lambda arrays, metadata: metadata.update(fields)


def lose(*names: str) -> Change:
    """Metadata that are not there."""
    return lambda arrays, metadata: [metadata.pop(name) for name in names]


def setting(**fields: Any) -> Change:
    """Other settings."""
    return lambda arrays, metadata: metadata["settings"].update(fields)


def row(**fields: Any) -> Change:
    """Another first row of the history."""
    return lambda arrays, metadata: metadata["epochs"][0].update(fields)


def array(name: str, value: Any) -> Change:
    """Another array."""
    return lambda arrays, metadata: arrays.update({name: np.asarray(value)})


def without(name: str) -> Change:
    """An array that is not there."""
    return lambda arrays, metadata: arrays.pop(name)


def nothing(arrays: Arrays, metadata: Metadata) -> None:
    """A file without content."""
    arrays.clear()
    metadata.clear()


DEEP: Any = 1
for _ in range(100):
    DEEP = [DEEP]
SIZED = "TwoLayerNet({}, {}, {})"

# What is wild, and which of load_network (l), predict (p) and resume (r) have to refuse it.
WILD: dict[str, tuple[Change, str]] = {
    "no network": (lose("network"), "lpr"),
    "network is None": (put(network=None), "lpr"),
    "network is a number": (put(network=3), "lpr"),
    "network is a list": (put(network=["TwoLayerNet(64, 6, 10)"]), "lpr"),
    "network is nested deeply": (put(network=DEEP), "lpr"),
    "network is empty": (put(network=""), "lpr"),
    "network is code": (put(network="__import__('os').abort()"), "lpr"),
    "network is a layer": (put(network="ReLU()"), "lpr"),
    "network is an optimizer": (put(network="SGD(lr=0.1)"), "lpr"),
    "network has no layers": (put(network="Sequential()"), "lpr"),
    "network is larger": (put(network=SIZED.format(64, 7, 10)), "lpr"),
    "network is smaller": (put(network=SIZED.format(64, 5, 10)), "lpr"),
    "network has other names": (put(network="Sequential(Affine(64, 6), Affine(6, 10))"), "lpr"),
    "network is huge": (put(network=SIZED.format(10**6, 10**6, 10**6)), "lpr"),
    "network of many digits": (put(network=SIZED.format("9" * 9000, 1, 1)), "lpr"),
    "network is long": (put(network="Sequential(" + "ReLU()," * 99999 + ")"), "lpr"),
    "network with escape codes": (put(network="\x1b[2J\n\r\x07"), "lpr"),
    "no pixel_max": (lose("pixel_max"), "lpr"),
    "pixel_max is 0": (put(pixel_max=0), "lpr"),
    "pixel_max is negative": (put(pixel_max=-16), "lpr"),
    "pixel_max is huge": (put(pixel_max=10**400), "lpr"),
    "pixel_max is large": (put(pixel_max=2**16), "lpr"),
    "pixel_max is a float": (put(pixel_max=16.0), "lpr"),
    "pixel_max is a truth": (put(pixel_max=True), "lpr"),
    "pixel_max is text": (put(pixel_max="16"), "lpr"),
    "pixel_max is a list": (put(pixel_max=[16]), "lpr"),
    "no weights": (without("w1"), "lpr"),
    "weights of another shape": (array("w1", np.zeros((6, 64), np.float32)), "lpr"),
    "weights of another type": (array("w1", np.zeros((64, 6), np.int32)), "lpr"),
    "weights of mixed types": (array("w1", np.zeros((64, 6))), "lpr"),
    "weights that are truths": (array("w1", np.zeros((64, 6), bool)), "lpr"),
    "one array too many": (array("w3", np.zeros(3, np.float32)), "lpr"),
    "a name with a slash": (array("w1/w1", np.zeros(3, np.float32)), "lpr"),
    "a path for a name": (array("../../etc/passwd", np.zeros(3, np.float32)), "lpr"),
    "NaN among the weights": (array("b2", np.full(10, np.nan, np.float32)), "p"),
    "infinite weights": (array("b2", np.full(10, np.inf, np.float32)), "p"),
    "no settings": (lose("settings"), "r"),
    "settings are a list": (put(settings=[1]), "r"),
    "settings are empty": (put(settings={}), "r"),
    "settings are text": (put(settings="TwoLayerNet"), "r"),
    "network in the settings": (setting(network="TwoLayerNet(64, 7, 10)"), "r"),
    "loss is code": (setting(loss="open('/etc/passwd')"), "r"),
    "loss is a network": (setting(loss="TwoLayerNet(1, 1, 1)"), "r"),
    "loss is an activation": (setting(loss="ReLU()"), "r"),
    "loss is None": (setting(loss=None), "r"),
    "optimizer is code": (setting(optimizer="exit(0)"), "r"),
    "optimizer is a schedule": (setting(optimizer="cosine(0.1, 5)"), "r"),
    "optimizer is another": (setting(optimizer="SGD(lr=0.01)"), "r"),
    "optimizer has a huge schedule": (
        setting(optimizer="Adam(lr=cosine(0.1, 1" + "0" * 400 + "))"),
        "r",
    ),
    "batch size is 0": (setting(batch_size=0), "r"),
    "batch size is negative": (setting(batch_size=-100), "r"),
    "batch size is text": (setting(batch_size="100"), "r"),
    "batch size is a list": (setting(batch_size=[100]), "r"),
    "batch size is a truth": (setting(batch_size=True), "r"),
    "seed is negative": (setting(seed=-1), "r"),
    "seed is huge": (setting(seed=2**64), "r"),
    "seed is a float": (setting(seed=0.0), "r"),
    "seed is text": (setting(seed="nan"), "r"),
    "sampling is unknown": (setting(sampling="twice"), "r"),
    "sampling is a number": (setting(sampling=1), "r"),
    "validation is 2": (setting(validation=2.0), "r"),
    "validation is text": (setting(validation="NaN"), "r"),
    "validation is a whole number": (setting(validation=1), "r"),
    "compiled is missing": (lambda a, metadata: metadata["settings"].pop("compiled"), "r"),
    "compiled is a number": (setting(compiled=1), "r"),
    "compiled is text": (setting(compiled="False"), "r"),
    "data is unknown": (setting(data="no/such/data"), "r"),
    "data is a folder": (setting(data="/"), "r"),
    "data is a device": (setting(data="/dev/zero"), "r"),
    "data is a number": (setting(data=3), "r"),
    "data has a NUL": (setting(data="a\x00b"), "r"),
    "hashes are a list": (setting(data_hashes=[]), "r"),
    "hashes are empty": (setting(data_hashes={}), "r"),
    "hashes are numbers": (setting(data_hashes={"train_images": 1}), "r"),
    "no steps": (lose("steps"), "r"),
    "steps are text": (put(steps="30"), "r"),
    "steps are negative": (put(steps=-1), "r"),
    "steps are fewer": (put(steps=29), "r"),
    "steps are huge": (put(steps=10**400), "r"),
    "steps are more than memory": (put(steps=10**14), "r"),
    "steps are infinite as text": (put(steps="Infinity"), "r"),
    "no step": (lose("step"), "r"),
    "step is negative": (put(step=-30), "r"),
    "step is another": (put(step=29), "r"),
    "step is text": (put(step="30"), "r"),
    "step is a list": (put(step=[30]), "r"),
    "no epochs": (lose("epochs"), "r"),
    "epochs are a number": (put(epochs=3), "r"),
    "epochs are text": (put(epochs="abc"), "r"),
    "epochs are a dictionary": (put(epochs={"epoch": 1}), "r"),
    "epochs hold numbers": (put(epochs=[1, 2]), "r"),
    "epochs hold lists": (put(epochs=[[0, 0, None, 0.1, 0.1]]), "r"),
    "epochs are the wrong way round": (
        lambda arrays, metadata: metadata["epochs"].reverse(),
        "r",
    ),
    "epochs come twice": (
        lambda a, metadata: metadata["epochs"].append(metadata["epochs"][-1]),
        "r",
    ),
    "a row with an unknown field": (row(f1=0.5), "r"),
    "a row without a field": (lambda a, metadata: metadata["epochs"][0].pop("step"), "r"),
    "a row whose step is text": (row(step="0"), "r"),
    "a row whose step is negative": (row(step=-5), "r"),
    "a row whose step is beyond": (row(step=31), "r"),
    "a row whose epoch is huge": (row(epoch=10**400), "r"),
    "a row whose accuracy is text": (row(test_accuracy="NaN"), "r"),
    "a row whose accuracy is None": (row(test_accuracy=None), "r"),
    "a row whose accuracy is 2": (row(test_accuracy=2.0), "r"),
    "a row whose accuracy is whole": (row(train_accuracy=10**400), "r"),
    "a row whose loss is text": (row(loss="nan"), "r"),
    "a row whose loss is a list": (row(loss=[1]), "r"),
    "no losses": (without("history/losses"), "r"),
    "losses of another type": (array("history/losses", np.zeros(30, np.float32)), "r"),
    "losses of another shape": (array("history/losses", np.zeros((30, 1))), "r"),
    "losses of another length": (array("history/losses", np.zeros(31)), "r"),
    "losses without axes": (array("history/losses", np.zeros(())), "r"),
    "no step count": (without("optimizer/step_count"), "r"),
    "another step count": (array("optimizer/step_count", np.array(31)), "r"),
    "a negative step count": (array("optimizer/step_count", np.array(-1)), "r"),
    "a step count of another type": (array("optimizer/step_count", np.array(30.0)), "r"),
    "no state": (without("optimizer/m/w1"), "r"),
    "a state of another shape": (array("optimizer/m/w1", np.zeros(3, np.float32)), "r"),
    "a state of another type": (array("optimizer/m/w1", np.zeros((64, 6))), "r"),
    "a state too many": (array("optimizer/x/w1", np.zeros((64, 6), np.float32)), "r"),
    "everything is gone": (nothing, "lpr"),
}


def made_wild(run: Path, change: Change, folder: Path) -> None:
    """The run with a changed last.safetensors."""
    shutil.copytree(run, folder, dirs_exist_ok=True)
    arrays, metadata = checkpoint.load(run / "last.safetensors")
    change(arrays, metadata)
    checkpoint.save(folder / "last.safetensors", arrays, metadata)


def ends(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and what came on standard error."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    code = caught.value.code or 0
    assert isinstance(code, int)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(("change", "refusing"), WILD.values(), ids=WILD.keys())
def test_wild_content_is_refused_in_one_line(
    run: Path, tmp_path: Path, change: Change, refusing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made_wild(run, change, tmp_path)
    last = tmp_path / "last.safetensors"
    if "l" in refusing:
        with pytest.raises(CheckpointError) as caught:
            tg.load_network(last)
        assert str(caught.value).isprintable()
    else:
        tg.load_network(last)
    for command, words in (
        ("p", ["predict", str(last), str(tmp_path / "image.npy")]),
        ("r", ["train", "--resume", str(tmp_path), "--quiet"]),
    ):
        code, err = ends(words, capsys)
        if command in refusing:
            assert code == 2, err
            assert err.startswith("tarograd: ")
            assert err.count("\n") == 1
            assert err.strip().isprintable()
            assert len(err) <= 1100 + len(str(tmp_path))
        elif code:  # NaN among the weights comes out while training
            assert (code, command) == (1, "r")
            assert err.count("\n") == 1


def test_the_unchanged_run_is_good(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_wild(run, lambda arrays, metadata: None, tmp_path)
    assert ends(["train", "--resume", str(tmp_path), "--quiet"], capsys) == (0, "")
    words = ["predict", str(tmp_path / "last.safetensors"), str(tmp_path / "image.npy")]
    assert ends(words, capsys) == (0, "")


JUNK: list[Any] = [None, True, 0, -1, 1.5, 10**30, "", "nan", "TwoLayerNet(64, 6, 10)", [], {}]
JUNK += [[0], {"a": 1}, "\x00", 2**63, -0.0, [None] * 5, "9" * 500]


def test_random_content_is_refused_or_goes_on(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(5)

    def spoil(value: Any) -> Any:
        """The value with junk somewhere in it."""
        if isinstance(value, dict) and value and chance.random() < 0.8:
            key = chance.choice(list(value))
            return {**value, key: spoil(value[key])}
        if isinstance(value, list) and value and chance.random() < 0.8:
            i = chance.randrange(len(value))
            return [*value[:i], spoil(value[i]), *value[i + 1 :]]
        return chance.choice(JUNK)

    arrays, metadata = checkpoint.load(run / "last.safetensors")
    codes = set()
    for _ in range(150):
        spoiled = spoil(metadata)
        if not isinstance(spoiled, dict):
            continue
        spoiled["steps"] = 30 if spoiled.get("steps") in (2**63, 10**30) else spoiled.get("steps")
        checkpoint.save(tmp_path / "last.safetensors", arrays, spoiled)
        code, err = ends(["train", "--resume", str(tmp_path), "--quiet"], capsys)
        codes.add(code)
        assert err.count("\n") == (code != 0), (spoiled, err)
    assert codes == {0, 2}


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_wild_content_costs_little_memory(run: Path, tmp_path: Path) -> None:
    code = """
import os, sys
from tarograd.cli import main
null = os.open(os.devnull, os.O_WRONLY)
shown = os.dup(1)
os.dup2(null, 1)
os.dup2(null, 2)
for folder in sorted(os.listdir(".")):
    for words in (["predict", folder, "x.png"], ["train", "--resume", folder, "--quiet"]):
        try:
            main(words)
        except SystemExit as error:
            assert error.code in (1, 2), (folder, words)
os.write(shown, "".join(open("/proc/self/status")).encode())
"""
    names = [name for name, (_, refusing) in WILD.items() if "r" in refusing]
    for i, name in enumerate(names):
        made_wild(run, WILD[name][0], tmp_path / str(i))
    outcome = script(code, folder=tmp_path)
    assert outcome.code == 0, outcome.err
    peak = outcome.out.partition("VmHWM:")[2].split()[0]
    assert int(peak) < 300_000  # kB
