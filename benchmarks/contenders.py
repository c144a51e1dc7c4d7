"""Who takes part: the textbook's code, tarograd, and the peers that are installed.

Each has the same initial weights, learning rate and batches, so that their losses can be
compared as well as their times. A peer's package is imported when it starts.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

import tarograd as tg
from benchmarks import textbook
from benchmarks.problem import BATCH, CLASSES, HIDDEN, LEARNING_RATE, PIXELS
from benchmarks.textbook import Array


class Contender:
    """One way to train the network.

    Args:
        params: the initial `w1`, `b1`, `w2` and `b2`, which are not changed.
    """

    label: ClassVar[str]
    package: ClassVar[str] = "numpy"

    def __init__(self, params: dict[str, Array]) -> None:
        self.dtype = str(params["w1"].dtype)
        self.start({name: array.copy() for name, array in params.items()})

    @property
    def name(self) -> str:
        """What stands in the table."""
        return f"{self.label} {self.dtype}"

    def start(self, params: dict[str, Array]) -> None:
        """Build the network with these arrays, which it may keep."""
        raise NotImplementedError

    def place(self, array: Array) -> Any:
        """The array as the package wants to have it, once, before anything is timed."""
        return array

    def train(self, xs: Any, ts: Any) -> list[float]:
        """One step with each batch, in order.

        Args:
            xs: placed images, shape (steps, n, 784).
            ts: placed labels, shape (steps, n).

        Returns:
            the loss of each step, their mean, or nothing: as much as is known anyway.
        """
        raise NotImplementedError

    def accuracy(self, x: Any, t: Any) -> float:
        """The share of right answers for placed images (n, 784) and labels (n,)."""
        raise NotImplementedError


class Textbook(Contender):
    """The book's layers on NumPy."""

    label = "textbook (NumPy)"

    def start(self, params: dict[str, Array]) -> None:
        """Build the network."""
        self.network = textbook.TwoLayerNet(params)

    def train(self, xs: Any, ts: Any) -> list[float]:
        """The loop of the text."""
        batches = zip(xs, ts, strict=True)
        return [textbook.train_step(self.network, x, t, LEARNING_RATE) for x, t in batches]

    def accuracy(self, x: Any, t: Any) -> float:
        """All images at once, as in the text."""
        return self.network.accuracy(x, t)


class Tarograd(Contender):
    """Loss, backward, step: as `tg.fit` does it."""

    label = "tarograd"
    package = "tarograd"

    def start(self, params: dict[str, Array]) -> None:
        """Build the network and bind its optimizer."""
        self.net = tg.nn.TwoLayerNet(PIXELS, HIDDEN, CLASSES).astype(self.dtype)
        for name, parameter in self.net.named_parameters().items():
            parameter.value = params[name]
        self.optimizer = tg.optim.SGD(self.net.parameters(), lr=LEARNING_RATE)

    def place(self, array: Array) -> Any:
        """Read-only, so that no graph has to copy it."""
        array = array.copy()
        array.flags.writeable = False
        return array

    def train(self, xs: Any, ts: Any) -> list[float]:
        """A graph for each batch."""
        losses = []
        for x, t in zip(xs, ts, strict=True):
            loss = self.net.objective(x, t)
            for parameter in self.optimizer.parameters:
                parameter.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(float(loss))
        return losses

    def accuracy(self, x: Any, t: Any) -> float:
        """The network's own method."""
        return self.net.accuracy(x, t)


class TarogradGradient(Tarograd):
    """The loop of the text, line by line, with tarograd's network in it."""

    label = "tarograd, the text's loop"

    def train(self, xs: Any, ts: Any) -> list[float]:
        """The network's `gradient` keeps the loss to itself."""
        for x, t in zip(xs, ts, strict=True):
            grads = self.net.gradient(x, t)
            for key in grads:
                self.net.params[key] -= LEARNING_RATE * grads[key]
        return []


class TarogradCompiled(Tarograd):
    """The same step as machine code, as `tg.fit` runs it: all batches in one call."""

    label = "tarograd, compiled"

    def start(self, params: dict[str, Array]) -> None:
        """Compile nothing yet: that happens at the first chunk, which is not timed."""
        super().start(params)
        self.images: Any = None

    def compile(self, xs: Any, ts: Any) -> None:
        """The step on these images, which stay where they are."""
        from tarograd.compiler import Recipe, step_program
        from tarograd.compiler.llvm.native import Native
        from tarograd.compiler.lower import lower

        images, labels = xs.reshape(-1, PIXELS), ts.reshape(-1)
        recipe = Recipe(self.net, self.net.criterion, self.optimizer, images, labels)
        program = lower(step_program(recipe, ts.shape[1]))
        self.native = Native(program, {"images": images, "labels": labels})
        for name, parameter in recipe.parameters().items():
            self.native.view(program.inputs[name])[...] = parameter.value
        self.images = xs

    def train(self, xs: Any, ts: Any) -> list[float]:
        """No Python between the steps."""
        if self.images is not xs:
            self.compile(xs, ts)
        steps = len(ts)
        fed = {
            "batch": np.arange(ts.size).reshape(ts.shape),
            "step": np.arange(steps),
            "lr": np.full(steps, LEARNING_RATE),
        }
        return [float(loss) for loss in self.native.run(fed, steps)]


class Torch(Contender):
    """PyTorch in eager mode."""

    label = "PyTorch"
    package = "torch"

    def start(self, params: dict[str, Array]) -> None:
        """Build the network; PyTorch keeps a weight matrix transposed."""
        self.torch = import_module("torch")
        self.torch.set_num_threads(1)
        nn = self.torch.nn
        self.net = nn.Sequential(
            nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES)
        ).to(self.place(params["w1"]).dtype)
        arrays = [params["w1"].T, params["b1"], params["w2"].T, params["b2"]]
        with self.torch.no_grad():
            for parameter, array in zip(self.net.parameters(), arrays, strict=True):
                parameter.copy_(self.place(array))
        self.optimizer = self.torch.optim.SGD(self.net.parameters(), lr=LEARNING_RATE)

    def place(self, array: Array) -> Any:
        """The array's memory as PyTorch sees it; it insists on being allowed to write."""
        return self.torch.from_numpy(np.require(array, requirements="W"))

    def train(self, xs: Any, ts: Any) -> list[float]:
        """The loop that PyTorch's tutorials teach."""
        losses = []
        for x, t in zip(xs, ts, strict=True):
            self.optimizer.zero_grad()
            loss = self.torch.nn.functional.cross_entropy(self.net(x), t)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return losses

    def accuracy(self, x: Any, t: Any) -> float:
        """Without recording."""
        with self.torch.no_grad():
            return float((self.net(x).argmax(dim=1) == t).double().mean())


class Jax(Contender):
    """JAX: a chunk of steps is one compiled `lax.scan`."""

    label = "JAX (jit, lax.scan)"
    package = "jax"

    def start(self, params: dict[str, Array]) -> None:
        """Compile nothing yet: that happens at the first chunk, which is not timed."""
        one_thread = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ.setdefault("XLA_FLAGS", one_thread)
        jax, jnp = import_module("jax"), import_module("jax.numpy")
        self.params = {name: jnp.asarray(array) for name, array in params.items()}
        self.jnp = jnp

        def scores(p: Any, x: Any) -> Any:
            return jax.nn.relu(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]

        def loss(p: Any, x: Any, t: Any) -> Any:
            logarithms = jax.nn.log_softmax(scores(p, x))
            return -jnp.take_along_axis(logarithms, t[:, None], axis=1).mean()

        def step(p: Any, batch: Any) -> Any:
            value, slopes = jax.value_and_grad(loss)(p, *batch)
            return jax.tree.map(lambda w, g: w - LEARNING_RATE * g, p, slopes), value

        self.scan = jax.jit(lambda p, batches: jax.lax.scan(step, p, batches))
        self.scores = jax.jit(scores)

    def place(self, array: Array) -> Any:
        """An array of JAX's."""
        return self.jnp.asarray(array)

    def train(self, xs: Any, ts: Any) -> list[float]:
        """One call for all batches; reading the losses waits for it."""
        self.params, losses = self.scan(self.params, (xs, ts))
        return [float(loss) for loss in np.asarray(losses)]

    def accuracy(self, x: Any, t: Any) -> float:
        """Compiled for this number of images."""
        return float((self.scores(self.params, x).argmax(axis=1) == t).mean())


class Sklearn(Contender):
    """scikit-learn's MLPClassifier; it tells only the mean loss of the batches it was given."""

    label = "scikit-learn MLPClassifier"
    package = "sklearn"

    def start(self, params: dict[str, Array]) -> None:
        """Build the network: its own first weights come with a step, and are then replaced."""
        make = import_module("sklearn.neural_network").MLPClassifier
        self.net = make(
            (HIDDEN,), solver="sgd", alpha=0, batch_size=BATCH, learning_rate_init=LEARNING_RATE,
            momentum=0, nesterovs_momentum=False, shuffle=False,
        )  # fmt: skip
        nothing = np.zeros((BATCH, PIXELS), self.dtype), np.zeros(BATCH, np.int64)
        self.net.partial_fit(*nothing, classes=np.arange(CLASSES))
        arrays = [params["w1"], params["w2"], params["b1"], params["b2"]]
        theirs = [*self.net.coefs_, *self.net.intercepts_]
        for parameter, array in zip(theirs, arrays, strict=True):
            parameter[...] = array

    def train(self, xs: Any, ts: Any) -> list[float]:
        """One pass through all the images, which it divides into the same batches itself."""
        self.net.partial_fit(xs.reshape(-1, PIXELS), ts.reshape(-1))
        return [float(self.net.loss_)]

    def accuracy(self, x: Any, t: Any) -> float:
        """Its own score."""
        return float(self.net.score(x, t))


# Whom to start, with which dtype.
ENTRIES: tuple[tuple[type[Contender], str], ...] = (
    (Textbook, "float32"),
    (Textbook, "float64"),
    (Tarograd, "float32"),
    (Tarograd, "float64"),
    (TarogradCompiled, "float32"),
    (TarogradCompiled, "float64"),
    (TarogradGradient, "float32"),
    (Torch, "float32"),
    (Jax, "float32"),
    (Sklearn, "float32"),
)


def present() -> list[tuple[type[Contender], str]]:
    """The entries whose packages are installed."""
    return [(kind, dtype) for kind, dtype in ENTRIES if find_spec(kind.package)]


def packages() -> str:
    """The version of each contender's package, or that it is not installed."""
    names = dict.fromkeys(kind.package for kind, _ in ENTRIES)
    return ", ".join(
        f"{name} {import_module(name).__version__ if find_spec(name) else 'is not installed'}"
        for name in names
    )
