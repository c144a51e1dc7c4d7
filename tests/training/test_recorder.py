"""The recorder: it never changes a run, keeps its moments, and stays small."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import some_digits, values

import tarograd as tg
from commands import PYTHON, finish, start
from tarograd.training import NonFiniteError
from tarograd.training.recorder import EARLY, MOMENTS, curve, schedule, thinned


def run_of(directory: Path) -> dict[str, Any]:
    """What the report of a run holds."""
    text = (directory / "report.html").read_text("utf-8")
    found: dict[str, Any] = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    return dict(found["run"])


def steps_of(directory: Path) -> list[int]:
    return [m["vitals"]["step"] for m in run_of(directory)["moments"]]


def fit(directory: Path | None, net: tg.nn.Network | None = None, **settings: Any) -> tg.History:
    settings = {"steps": 100, "progress": False, "compiled": False, **settings}
    return tg.fit(
        net or tg.nn.TwoLayerNet(64, 10, 10), some_digits(), directory=directory, **settings
    )


class Noisy(tg.nn.Network):
    """A network with dropout and noise from NumPy's global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.affine1 = tg.nn.Affine(64, 10)
        self.dropout = tg.nn.Dropout(0.3)

    def call(self, x: Any) -> Any:
        """Scores."""
        noise = np.random.standard_normal((x.shape[0], 10))  # noqa: NPY002  # as users write it
        return self.affine1(self.dropout(x)) + noise.astype(np.float32)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_bits_of_a_run_are_those_without_a_recorder(tmp_path: Path, compiled: bool) -> None:
    nets = tg.nn.TwoLayerNet(64, 10, 10), tg.nn.TwoLayerNet(64, 10, 10)
    losses = [
        fit(path, net, compiled=compiled, optimizer=tg.optim.Adam()).losses
        for path, net in zip((tmp_path, None), nets, strict=True)
    ]
    assert values(nets[0]) == values(nets[1])
    assert losses[0].tobytes() == losses[1].tobytes()
    assert steps_of(tmp_path) == schedule(100)


def test_the_global_random_numbers_of_a_users_layer_stay_the_same(tmp_path: Path) -> None:
    nets = Noisy(), Noisy()
    for path, net in zip((tmp_path, None), nets, strict=True):
        np.random.seed(3)  # noqa: NPY002  # as users do
        fit(path, net)
    assert values(nets[0]) == values(nets[1])


@pytest.mark.parametrize("compiled", [False, True])
def test_the_moments_are_those_of_the_steps_themselves(tmp_path: Path, compiled: bool) -> None:
    history = fit(tmp_path, compiled=compiled)
    for moment in run_of(tmp_path)["moments"][:-1]:
        loss = moment["vitals"]["loss"]
        assert loss == pytest.approx(history.losses[moment["vitals"]["step"]], rel=1e-5)


def test_a_run_that_was_stopped_keeps_its_moments(tmp_path: Path) -> None:
    fit(tmp_path / "whole")
    fit(tmp_path / "parts", steps=35)
    before = run_of(tmp_path / "parts")
    fit(tmp_path / "parts", resume=True)
    whole, parts = run_of(tmp_path / "whole"), run_of(tmp_path / "parts")
    by_step = {m["vitals"]["step"]: m for m in parts["moments"]}
    assert [by_step[m["vitals"]["step"]] for m in whole["moments"]] == whole["moments"]
    assert [by_step[m["vitals"]["step"]] for m in before["moments"]] == before["moments"]
    assert parts["pictures"] == whole["pictures"]
    assert parts["curve"] == whole["curve"]


@pytest.mark.parametrize(
    "text", ["", "<html>", 'id="data">{"run":{}}</script>', "\udcff", "[" * 99999]
)
def test_a_report_that_is_damaged_does_not_stop_a_run(tmp_path: Path, text: str) -> None:
    fit(tmp_path, steps=35)
    head = '<script type="application/json" '
    (tmp_path / "report.html").write_bytes((head + text).encode(errors="surrogateescape"))
    fit(tmp_path, resume=True)
    assert steps_of(tmp_path) == [s for s in schedule(100) if s >= 35]


def test_it_is_the_same_in_every_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fit(tmp_path / name)
    a, b = ((tmp_path / name / "report.html").read_bytes() for name in ("a", "b"))
    assert a == b


def test_the_first_node_that_was_not_finite_is_named(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError) as caught:
        fit(tmp_path, optimizer=tg.optim.SGD(lr=1e30))
    run = run_of(tmp_path)
    assert run["state"] == "failed"
    assert run["message"] == f"NonFiniteError: {caught.value}"
    origin = run["moments"][-1]["origin"]
    assert f"came out of {origin['name']} in {origin['where']}, shape" in str(caught.value)
    assert f"{origin['bad']} of {origin['size']} elements" in str(caught.value)
    assert run["moments"][-1]["vitals"]["step"] == 1
    for given in origin["inputs"]:
        assert f"{given['name']} ({given['shape'][0]}," in str(caught.value)
    assert run["pictures"][0]["trace"]["nodes"][origin["node"]]["symbol"]


class Breaks(tg.nn.Layer):
    """Raises in its 40th training step."""

    def __init__(self) -> None:
        self.left = 40

    def call(self, x: Any) -> Any:
        """Any shape; gives the same."""
        self.left -= tg.graph.current_context().recording
        if self.left < 0:
            raise RuntimeError("the sensor is <b>gone</b>")
        return x


def test_a_crash_leaves_a_report_of_what_went_before(tmp_path: Path) -> None:
    net = tg.nn.Sequential(tg.nn.Affine(64, 10), Breaks())
    with pytest.raises(RuntimeError, match="the sensor"):
        fit(tmp_path, net)
    run = run_of(tmp_path)
    assert run["message"] == "RuntimeError: the sensor is <b>gone</b>"
    assert [m["vitals"]["step"] for m in run["moments"]] == [s for s in EARLY if s < 40] + [40]


class Locked(tg.nn.Layer):
    """A layer that cannot be copied."""

    def __init__(self) -> None:
        self.stream = iter(lambda: 1, 2).__next__
        self.file = open(__file__)  # noqa: SIM115  # that is the point

    def call(self, x: Any) -> Any:
        """Any shape; gives the same."""
        return x


def test_what_cannot_be_looked_into_trains_all_the_same(tmp_path: Path) -> None:
    layer = Locked()
    fit(tmp_path, tg.nn.Sequential(tg.nn.Affine(64, 10), layer))
    layer.file.close()
    run = run_of(tmp_path)
    assert run["moments"] == []
    assert run["trouble"].startswith("TypeError: cannot")
    assert len(run["curve"]) == 100


def test_a_full_disk_costs_the_report_only(
    tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = fit(small_disk / "run", tg.nn.Sequential(tg.nn.Affine(64, 10)), steps=6)
    assert len(history.losses) == 6
    assert not (small_disk / "run" / "report.html").exists()
    assert "no report: cannot write" in capsys.readouterr().err


def test_a_killed_run_leaves_the_report_of_its_last_save(tmp_path: Path) -> None:
    code = (
        "import sys, tarograd as tg\n"
        "from tarograd.training import recorder\n"
        "sys.modules['tarograd.training.fit'].SAVE_SECONDS, recorder.PATIENCE = 0.0, 0\n"
        "net = tg.nn.TwoLayerNet(64, 10, 10)\n"
        "tg.fit(net, tg.data.load('digits'), steps=10**7, directory='run', progress=False)\n"
    )
    process = start(folder=tmp_path, program=(*PYTHON, "-c", code))
    report = tmp_path / "run" / "report.html"
    while process.poll() is None and not (report.exists() and len(steps_of(tmp_path / "run")) > 4):
        time.sleep(0.05)
    process.kill()
    finish(process)
    run, steps = run_of(tmp_path / "run"), steps_of(tmp_path / "run")
    assert run["state"] == "running"
    assert steps[:5] == [*EARLY[:5]]
    assert run["curve"][-1][0] == run["done"] >= steps[-1]


def test_sixty_moments_and_three_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tarograd.training.recorder.STEPS", 5)  # as many as in a long run
    layers = [tg.nn.Affine(64, 64), tg.nn.ReLU()]
    net = tg.nn.Sequential(*layers, tg.nn.Affine(64, 64), tg.nn.Sigmoid(), tg.nn.Affine(64, 10))
    fit(tmp_path, net, steps=400)
    assert len(steps_of(tmp_path)) == MOMENTS
    assert (tmp_path / "report.html").stat().st_size < 3_000_000


def test_thinning_keeps_the_first_the_last_and_the_early_ones() -> None:
    kept = sorted(thinned([*EARLY, *range(60, 600, 5)], MOMENTS))
    assert len(kept) == MOMENTS
    assert set(EARLY) < set(kept)
    assert kept[-1] == 595
    assert max(np.diff(kept[len(EARLY) :])) <= 20
    assert sorted(thinned(range(30), 2)) == [0, 29]


def test_the_report_of_a_deep_network_has_fewer_moments(tmp_path: Path) -> None:
    layers: list[tg.nn.Layer] = [tg.nn.Affine(64, 64), tg.nn.ReLU()]
    for _ in range(24):
        layers += [tg.nn.Affine(64, 64), tg.nn.ReLU()]
    net = tg.nn.Sequential(*layers, tg.nn.Affine(64, 10))
    fit(tmp_path, net, steps=60, batch_size=10)
    steps = steps_of(tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 3_000_000
    assert 8 < len(steps) < len(schedule(60))
    assert (steps[0], steps[-1]) == (0, 60)


@pytest.mark.parametrize("steps", [0, 1, 2, 40, 51, 99, 10_000, 10**9])
def test_a_schedule_begins_at_0_and_ends_at_the_end(steps: int) -> None:
    due = schedule(steps)
    assert due[0] == 0
    assert due[-1] == steps
    assert due == sorted(set(due))
    assert len(due) <= MOMENTS


def test_the_curve_holds_every_loss_in_its_band() -> None:
    losses = np.random.default_rng(0).exponential(size=5000)
    rows = np.array(curve(losses), dtype=float)
    assert rows[-1, 0] == 5000
    starts = [0, *rows[:-1, 0].astype(int)]
    for start_, (end, low, mean, high) in zip(starts, rows, strict=True):
        piece = losses[start_ : int(end)]
        assert [low, mean, high] == pytest.approx(
            [piece.min(), piece.mean(), piece.max()], rel=1e-4
        )
    assert curve(np.array([np.nan]))[0][1] == "NaN"
