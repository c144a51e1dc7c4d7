"""Functions of other libraries, checked and named; each is skipped where its library is absent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tarograd.checking import check_gradients

X = np.random.default_rng(0).normal(size=(5, 4))


def torch_subjects() -> Any:
    torch = pytest.importorskip("torch")
    nn, f = torch.nn, torch.nn.functional
    return [
        torch.relu, torch.sigmoid, torch.tanh, torch.exp, f.softplus, nn.GELU(), nn.SiLU(),
        lambda x: torch.softmax(x, -1), lambda x: torch.logsumexp(x, 0), lambda x: x.sum(0),
        lambda x: x.max(1).values, lambda x: x @ x.T, lambda x: torch.cumsum(x, 1),
        lambda x: torch.sort(x, 1).values, lambda x: x.norm(dim=1), lambda x: x.var(1),
        nn.Linear(4, 3), nn.LayerNorm(4), nn.BatchNorm1d(4), nn.Dropout(0.5),
    ]  # fmt: skip


def test_twenty_operations_of_torch_are_right() -> None:
    torch = pytest.importorskip("torch")
    subjects = torch_subjects()
    assert len(subjects) == 20
    for subject in subjects:
        report = check_gradients(subject, torch.tensor(X))
        assert report.verdict == "right", str(report)


TORCH_WRONG = {
    "formula": lambda x, g: 3 * x * g,
    "sign": lambda x, g: -3 * x * x * g,
    "scale": lambda x, g: x * x * g,
    "upstream-ignored": lambda x, g: 3 * x * x,
    "zero": lambda x, g: 0 * g,
}


@pytest.mark.parametrize("name", TORCH_WRONG)
def test_a_wrong_autograd_function_is_named(name: str) -> None:
    torch = pytest.importorskip("torch")

    class Cube(torch.autograd.Function):  # type: ignore[misc, name-defined]  # torch is imported here
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return TORCH_WRONG[name](ctx.saved_tensors[0], g)

    report = check_gradients(Cube.apply, torch.tensor(X))
    assert report.verdict == "wrong"
    assert report.causes[0].name == name


@pytest.mark.parametrize("name", TORCH_WRONG)
def test_a_wrong_custom_vjp_is_named(name: str) -> None:
    jax = pytest.importorskip("jax")

    @jax.custom_vjp  # type: ignore[untyped-decorator]  # jax is not typed here
    def cube(x: Any) -> Any:
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, g: (TORCH_WRONG[name](x, g),))
    report = check_gradients(cube, X)
    assert report.verdict == "wrong"
    assert report.causes[0].name == name


def jax_subjects() -> Any:
    jax = pytest.importorskip("jax")
    np_, nn, lax = jax.numpy, jax.nn, jax.lax
    return [
        np_.sin, np_.tanh, np_.exp, np_.square, nn.relu, nn.sigmoid, nn.softplus, nn.gelu, nn.silu,
        nn.softmax, nn.log_softmax, nn.logsumexp, lambda x: np_.max(x, 1), lambda x: np_.sum(x, 0),
        lambda x: x @ x.T, lambda x: np_.cumsum(x, 1), lambda x: np_.sort(x, 1),
        lambda x: np_.var(x, 1), lambda x: np_.linalg.norm(x, axis=1), lambda x: lax.rsqrt(x * x),
    ]  # fmt: skip


def test_twenty_operations_of_jax_are_right() -> None:
    jax = pytest.importorskip("jax")
    subjects = jax_subjects()
    assert len(subjects) == 20
    for subject in subjects:
        report = check_gradients(subject, jax.numpy.asarray(X), mode="quick")
        assert report.verdict == "right", str(report)


def test_trees_keys_and_flags_of_jax() -> None:
    jax = pytest.importorskip("jax")
    params = {"w": X[:4, :3], "layers": [X[0, :3], np.ones(3)]}
    x = jax.numpy.asarray(X)

    def loss(params: Any, x: Any, t: Any, key: Any, train: bool) -> Any:
        assert train is True
        mask = jax.random.bernoulli(key, 0.5, (5, 3))
        h = jax.numpy.where(mask, x @ params["w"] + params["layers"][0], 0)
        return -jax.nn.log_softmax(h * params["layers"][1])[jax.numpy.arange(5), t].mean()

    labels = np.array([0, 1, 2, 0, 1])
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        report = check_gradients(loss, params, x, labels, key, True, mode="quick")
        assert report.verdict == "right", str(report)
        assert set(report.leaves) == {"params.w", "params.layers.0", "params.layers.1", "x"}


def test_a_module_with_buffers_several_inputs_and_outputs() -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Model(nn.Module):  # type: ignore[misc, name-defined]  # torch is imported here
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.norm = nn.Embedding(6, 4), nn.BatchNorm1d(4)
            self.frozen = nn.Linear(4, 4).requires_grad_(False)

        def forward(self, x: Any, words: Any, scale: int = 1) -> Any:
            h = self.norm(x + self.embed(words)) * scale
            return {"h": self.frozen(h), "sum": h.sum(), "count": 3}

    model, words = Model(), torch.tensor([0, 5, 2, 2, 1])
    before = {n: t.clone() for n, t in model.state_dict().items()}
    report = check_gradients(model, torch.tensor(X, dtype=torch.float32), words, 2)
    assert report.verdict == "right", str(report)
    assert set(report.leaves) == {"x", "embed.weight", "norm.weight", "norm.bias"}
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert all(p.grad is None and p.dtype == torch.float32 for p in model.parameters())


def test_losses_of_torch_with_labels_are_right_and_a_wrong_mean_is_named() -> None:
    torch = pytest.importorskip("torch")
    labels = torch.tensor([0, 1, 2, 3, 0])
    for loss in (torch.nn.CrossEntropyLoss(), torch.nn.functional.cross_entropy):
        assert check_gradients(loss, torch.tensor(X), labels)
    mean = torch.nn.MSELoss()
    assert set(check_gradients(mean, torch.tensor(X), torch.tensor(X[::-1].copy())).leaves) == {
        "input",
        "target",
    }

    class Mean(torch.autograd.Function):  # type: ignore[misc, name-defined]  # imported here
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.shape = x.shape
            return x.sum() / len(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * torch.ones(ctx.shape, dtype=g.dtype)

    assert check_gradients(Mean.apply, torch.tensor(X)).causes[0].name == "scale-batch"


def test_numbers_that_a_torch_function_takes_are_settings() -> None:
    torch = pytest.importorskip("torch")

    class Clamp(torch.autograd.Function):  # type: ignore[name-defined, misc]  # known when it runs
        @staticmethod
        def forward(ctx: Any, x: Any, low: float, high: float) -> Any:
            ctx.save_for_backward((x >= low) & (x <= high))
            return x.clamp(low, high)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.saved_tensors[0], None, None

    report = check_gradients(Clamp.apply, torch.tensor(X), -0.5, 0.7)
    assert report.verdict == "right", str(report)
    assert list(report.leaves) == ["x"]


def test_what_torch_cannot_be_asked_is_said() -> None:
    torch = pytest.importorskip("torch")
    linear = torch.nn.Linear(4, 3)
    with pytest.raises(TypeError, match=r"\.double\(\) on what the function uses"):
        check_gradients(lambda x: linear(x), torch.tensor(X))

    class ByHand:
        def forward(self, x: Any) -> Any:
            return x * 2

        def backward(self, dout: Any) -> Any:
            return dout * 2

    with pytest.raises(TypeError, match=r"torch\.autograd\.Function"):
        check_gradients(ByHand(), torch.tensor(X))
    with pytest.raises(TypeError, match="is complex"):
        check_gradients(torch.abs, torch.tensor(X + 1j))


def test_places_that_all_differ_are_never_repeated() -> None:
    jax = pytest.importorskip("jax")

    def put(x: Any, v: Any, places: Any) -> Any:
        return x.at[places].set(v)

    def forward(x: Any, v: Any, places: Any) -> Any:
        return put(x, v, places), places

    def backward(places: Any, g: Any) -> Any:
        return g.at[places].set(0), g[places], None

    put_rows = jax.custom_vjp(put)
    put_rows.defvjp(forward, backward)
    x = jax.numpy.asarray(X)
    for places in ([1, 4], [2, 0]):
        report = check_gradients(put_rows, x, 2 * x[:2], np.array(places))
        assert report.verdict == "right"


def test_a_jax_function_that_reads_values_or_draws_is_seen_as_it_is_written() -> None:
    jax = pytest.importorskip("jax")

    def halved(x: Any) -> Any:
        return x / 2 if x.sum() > 0 else 3 * x

    assert check_gradients(halved, jax.numpy.asarray(np.abs(X))).verdict == "right"
    drawn = np.random.default_rng(0)
    report = check_gradients(lambda x: x * drawn.random(), jax.numpy.asarray(X))
    assert [c.name for c in report.causes] == ["nondeterministic"]


def test_a_jax_loop_that_is_compiled_anew_at_each_call_is_checked_soon() -> None:
    jax = pytest.importorskip("jax")

    def leaky(x: Any) -> Any:
        def one(y: Any, x: Any) -> Any:
            return 0.5 * y + x, 0.5 * y + x

        return jax.lax.scan(one, x[0] * 0, x)[1]

    turned = jax.custom_vjp(leaky)
    turned.defvjp(lambda x: (leaky(x), None), lambda _, g: (leaky(g),))
    report = check_gradients(turned, jax.numpy.asarray(X), budget=60)
    assert report.causes[0].name == "flipped"
