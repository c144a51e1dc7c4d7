"""Training as machine code: the same losses, the same bits after a resume, and nothing hidden."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tarograd as tg
from tarograd.optim import OPTIMIZERS
from tarograd.tensor import Tensor
from tarograd.training.machine import Machine

DIGITS = tg.data.load("digits")
NETWORKS: dict[str, Callable[[], tg.nn.Network]] = {
    "two layers": lambda: tg.nn.TwoLayerNet(64, 17, 10),
    "dropout": lambda: tg.nn.Sequential(
        tg.nn.Affine(64, 30), tg.nn.Tanh(), tg.nn.Dropout(0.4), tg.nn.Affine(30, 10)
    ),
    "sigmoid": lambda: tg.nn.Sequential(
        tg.nn.Affine(64, 31), tg.nn.Sigmoid(), tg.nn.Affine(31, 9), tg.nn.ReLU(),
        tg.nn.Affine(9, 10),
    ),
}  # fmt: skip


def fitted(make: Callable[[], tg.nn.Network], **settings: Any) -> tuple[Any, Any]:
    net = make()
    how = {"batch_size": 50, "progress": False, "compiled": True} | settings
    history = tg.fit(net, DIGITS, **how)
    return net, history


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_hundred_losses_agree_with_eager(network: str, optimizer: str) -> None:
    lr = 0.1 if optimizer == "sgd" else 0.002
    settings = {"steps": 100, "seed": 3, "optimizer": OPTIMIZERS[optimizer](lr=lr)}
    net, fast = fitted(NETWORKS[network], **settings)
    eager_net, slow = fitted(NETWORKS[network], compiled=False, **settings)
    np.testing.assert_allclose(fast.losses, slow.losses, rtol=1e-4)
    for p, q in zip(net.parameters(), eager_net.parameters(), strict=True):
        np.testing.assert_allclose(p.value, q.value, atol=2e-4)


def test_the_squared_error_and_schedules_agree_too() -> None:
    settings = {
        "steps": 60,
        "loss": tg.nn.SquaredError(),
        "optimizer": tg.optim.Momentum(lr=tg.optim.cosine(0.05, 60), weight_decay=1e-3),
    }
    _, fast = fitted(NETWORKS["two layers"], **settings)
    _, slow = fitted(NETWORKS["two layers"], compiled=False, **settings)
    np.testing.assert_allclose(fast.losses, slow.losses, rtol=1e-4)


def test_a_run_that_was_resumed_gives_the_same_bits(tmp_path: Path) -> None:
    settings = {"optimizer": tg.optim.Adam(lr=0.01), "seed": 5}
    whole, history = fitted(NETWORKS["dropout"], steps=75, **settings)
    fitted(NETWORKS["dropout"], steps=31, directory=tmp_path, **settings)
    resumed, again = fitted(
        NETWORKS["dropout"], steps=75, directory=tmp_path, resume=True, **settings
    )
    np.testing.assert_array_equal(history.losses, again.losses)
    for p, q in zip(whole.parameters(), resumed.parameters(), strict=True):
        np.testing.assert_array_equal(p.value, q.value)


@pytest.mark.parametrize("sampling", ["shuffle", "replacement"])
def test_it_is_the_machine_that_makes_the_steps(
    sampling: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    make = Machine.make

    def counted(self: Machine, done: int, most: int, eager: Any) -> Any:
        losses = make(self, done, most, eager)
        made.append(len(losses))
        return losses

    monkeypatch.setattr(Machine, "make", counted)
    _, history = fitted(NETWORKS["two layers"], steps=90, sampling=sampling)
    short = 0 if sampling == "replacement" else 90 // 29  # 1438 = 28 · 50 + 38
    assert len(DIGITS.train) == 1438
    assert sum(made) == 90 - short
    assert np.isfinite(history.losses).all()


def test_the_report_of_an_infinite_loss_names_step_and_node() -> None:
    def blown(**settings: Any) -> str:
        with pytest.raises(tg.training.NonFiniteError) as caught:
            fitted(NETWORKS["two layers"], steps=100, optimizer=tg.optim.SGD(lr=1e12), **settings)
        return str(caught.value)

    assert blown().split(":")[0] == blown(compiled=False).split(":")[0]


def test_what_cannot_be_compiled_runs_anyway_and_one_line_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Odd(tg.nn.TwoLayerNet):
        def call(self, x: Any) -> Any:
            scale = 2.0 if float(x.sum()) > 0 else 1.0
            return super().call(x * scale)

    history = tg.fit(Odd(64, 7, 10), DIGITS, steps=3, compiled=True)
    said = [line for line in capsys.readouterr().err.splitlines() if "not compiled" in line]
    assert len(said) == 1
    assert "float()" in said[0]
    assert len(history.losses) == 3


def test_a_wrong_step_is_found_before_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = tg.optim.SGD.rule

    def wrong(self: Any, w: Any, g: Any, state: Any, lr: Any, step: Any) -> Any:
        return rule(self, w, -g if isinstance(g, Tensor) else g, state, lr, step)

    monkeypatch.setattr(tg.optim.SGD, "rule", wrong)
    with pytest.raises(ArithmeticError, match="changes w1 otherwise than the eager one"):
        fitted(NETWORKS["two layers"], steps=3, optimizer=tg.optim.SGD(lr=0.1))


@pytest.mark.parametrize("sampling", ["shuffle", "replacement"])
def test_a_batch_larger_than_the_set(sampling: Any) -> None:
    small = DIGITS.train[:30]
    data = tg.data.Dataset("small", small, small, 10, pixel_max=16)
    how: dict[str, Any] = {"steps": 5, "batch_size": 70, "sampling": sampling, "progress": False}
    fast, slow = (
        tg.fit(tg.nn.TwoLayerNet(64, 9, 10), data, compiled=c, **how) for c in (True, False)
    )
    np.testing.assert_allclose(fast.losses, slow.losses, rtol=1e-4)


def strokes() -> tg.data.Dataset:
    """Images of which a tenth is not zero, and their first pixel never."""
    rng = np.random.default_rng(0)
    images = rng.integers(1, 256, (200, 64), dtype=np.uint8) * (rng.random((200, 64)) < 0.1)
    images[:, 0] = 0
    split = tg.data.Split(images.astype(np.uint8).reshape(200, 8, 8), rng.integers(0, 10, 200))
    return tg.data.Dataset("strokes", split, split, 10, pixel_max=255)


def test_leaving_out_the_zeros_changes_no_bit() -> None:
    def trained(compiled: Any) -> tuple[Any, Any]:
        net, data = tg.nn.TwoLayerNet(64, 17, 10), strokes()
        return net, tg.fit(net, data, steps=30, batch_size=30, compiled=compiled, progress=False)

    net, history = trained(True)
    dense_net, dense_history = trained("dense")
    assert "zeros of the images: left out" in history.explain()
    assert "zeros of the images: multiplied" in dense_history.explain()
    np.testing.assert_array_equal(history.losses, dense_history.losses)
    for p, q in zip(net.parameters(), dense_net.parameters(), strict=True):
        np.testing.assert_array_equal(p.value, q.value)


def test_an_infinite_weight_beside_a_zero_is_not_left_out() -> None:
    def blown(compiled: Any) -> str:
        net = tg.nn.TwoLayerNet(64, 17, 10)
        w = net.w1.value.copy()
        w[0, 0] = 5e37  # doubled by each step: infinite after the third, and 0 inf is NaN
        net.w1.value = w
        decay = tg.optim.SGD(lr=3.0, weight_decay=1.0)
        with pytest.raises(tg.training.NonFiniteError) as caught:
            tg.fit(net, strokes(), optimizer=decay, steps=20, progress=False, compiled=compiled)
        return str(caught.value).split(":")[0]

    said = {blown(compiled) for compiled in (False, True, "dense")}
    assert len(said) == 1
    assert "step 4" in said.pop()


def test_a_wrong_function_is_found_by_the_name_of_its_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tarograd.compiler.llvm import functions, operations
    from tarograd.ops import elementwise

    def wrong(b: Any, v: Any, x: list[Any]) -> Any:
        return functions.exp(b, x[0])

    monkeypatch.setitem(operations.EMITTERS, elementwise.tanh, wrong)
    with pytest.raises(
        ArithmeticError, match=r"gives the loss .* the eager one .*tanh 'z1' of shape .* in tanh1"
    ):
        fitted(NETWORKS["dropout"], steps=3)
    compiled = tg.compile(lambda x: (2 * x).tanh() + 1)
    with pytest.raises(ArithmeticError, match=r"differs is tanh 'z' of shape \(3,\)"):
        compiled(np.ones(3))


def test_what_rounding_alone_decides_is_no_disagreement() -> None:
    cancelled = tg.compile(lambda x: (x.exp() + 1e7 - 1e7) * 1e5 - x.exp().sum() * 1e5)
    x = np.linspace(0.1, 1, 50, dtype=np.float32)
    assert np.isfinite(cancelled(x)).all()


class Counting(tg.nn.Layer):
    """Divides by the number of its calls."""

    def __init__(self) -> None:
        self.count = 0

    def call(self, x: Any) -> Any:
        self.count += 1
        return x * (1 / self.count)


class Noisy(tg.nn.Layer):
    """Adds noise that NumPy draws."""

    def __init__(self) -> None:
        self.dice = np.random.default_rng(0)

    def call(self, x: Any) -> Any:
        return x + self.dice.normal(size=x.shape).astype(np.float32)


class Hidden(Counting):
    """Counts, and uses a Tensor that is not one of its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self._factor = tg.Parameter(np.float32(0.5))

    def call(self, x: Any) -> Any:
        return super().call(x) * self._factor


class Narrow(tg.nn.Layer):
    """Takes nothing but Tensors."""

    def call(self, x: Any) -> Any:
        if type(x) is not Tensor:
            raise RuntimeError("only Tensors")
        return x


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Counting, "the network changes 'count' while it computes"),
        (Noisy, "the network draws random numbers with NumPy or Python while it computes"),
        (Hidden, "the function uses the Tensor without a name of shape ()"),
        (Narrow, "RuntimeError: only Tensors"),
    ],
)
def test_a_layer_that_the_graph_does_not_show_runs_as_it_is(
    layer: Callable[[], tg.nn.Layer], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nets = [tg.nn.Sequential(tg.nn.Affine(64, 10), layer()) for _ in range(2)]
    runs = [
        tg.fit(net, DIGITS, steps=3, progress=compiled, compiled=compiled)
        for net, compiled in zip(nets, (True, False), strict=True)
    ]
    assert f"not compiled: {reason}" in capsys.readouterr().err
    assert runs[0].explain().startswith(f"not compiled: {reason}")
    # That they were called once more, to be traced, shows nowhere.
    np.testing.assert_array_equal(runs[0].losses, runs[1].losses)
    for accuracy in ("train_accuracy", "test_accuracy"):
        first, second = ([getattr(e, accuracy) for e in run.epochs] for run in runs)
        assert first == second


class Keeping(tg.nn.Layer):
    """Keeps its output, as the textbook's layers do."""

    def __init__(self) -> None:
        self.out: Any = None

    def call(self, x: Any) -> Any:
        self.out = x.tanh()
        return self.out


def test_a_layer_that_keeps_its_output_is_compiled() -> None:
    nets = [tg.nn.Sequential(tg.nn.Affine(64, 10), Keeping()) for _ in range(2)]
    runs = [
        tg.fit(net, DIGITS, steps=30, progress=False, compiled=compiled)
        for net, compiled in zip(nets, (True, False), strict=True)
    ]
    assert "not compiled" not in runs[0].explain()
    np.testing.assert_allclose(runs[0].losses, runs[1].losses, rtol=1e-4)


class Attention(tg.nn.Layer):
    """Softmax of the products of 8 rows with 8 rows."""

    def __init__(self) -> None:
        self.q = tg.Parameter(np.linspace(-0.3, 0.3, 64, dtype=np.float32).reshape(8, 8))

    def call(self, x: Any) -> Any:
        x = x.reshape(-1, 8, 8)
        scores = tg.softmax((x @ self.q) @ x.transpose(0, 2, 1), axis=2)
        return (scores @ x).reshape(x.shape[0], 64)


class Convolution(tg.nn.Layer):
    """Four filters of 3 by 3, written with index maps, and the largest of 2 by 2."""

    def __init__(self) -> None:
        self.w = tg.Parameter(np.linspace(-0.3, 0.3, 36, dtype=np.float32).reshape(9, 4))

    def call(self, x: Any) -> Any:
        x = np.pad(x.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
        parts = [x[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)]
        y: Any = (np.stack(parts, axis=3).reshape(-1, 9) @ self.w).reshape(-1, 8, 8, 4)
        y = np.stack([y[:, i::2, j::2] for i in range(2) for j in range(2)], axis=4).max(axis=4)
        return tg.relu(y).reshape(y.shape[0], 64)


class Normalized(tg.nn.Layer):
    """Mean 0 and variance 1 in the batch, times a weight."""

    def __init__(self) -> None:
        self.g = tg.Parameter(np.ones(64, np.float32))

    def call(self, x: Any) -> Any:
        x = x.reshape(-1, 64)
        off = x - x.mean(axis=0)
        return off / np.sqrt((off**2).mean(axis=0) + 1e-5) * self.g


@pytest.mark.parametrize("layer", [Attention, Convolution, Normalized])
def test_layers_of_ones_own_are_compiled(
    layer: Callable[[], tg.nn.Layer], capsys: pytest.CaptureFixture[str]
) -> None:
    nets = [tg.nn.Sequential(layer(), tg.nn.Affine(64, 10)) for _ in range(2)]
    fast, slow = (
        tg.fit(net, DIGITS, steps=20, progress=compiled, compiled=compiled)
        for net, compiled in zip(nets, (True, False), strict=True)
    )
    assert "not compiled" not in capsys.readouterr().err
    np.testing.assert_allclose(fast.losses, slow.losses, rtol=1e-4)
