"""Who makes the steps of the four pieces of work: the textbook's layers, JAX, PyTorch, tarograd.

A peer is given its batches ready, as numbers in the order in which it reads them. tarograd picks
them out of the whole set of images itself, as bytes, which is part of what is timed.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, cast

import numpy as np

import tarograd as tg
from benchmarks import textbook
from benchmarks.textbook import Array
from benchmarks.works import Work

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class Stepper:
    """Makes training steps.

    Args:
        work: what to do.
        images, labels, scale: the training set, and what a pixel is divided by.
        batches: the indices of the mini-batches of the first chunk, shape (steps, n).
    """

    name: ClassVar[str]
    package: ClassVar[str] = "numpy"

    def __init__(
        self, work: Work, images: Array, labels: Array, scale: int, batches: Array
    ) -> None:
        self.work, self.images, self.labels, self.scale = work, images, labels, scale
        self.batches = batches
        self.xs = images[batches].astype(np.float32) / np.float32(scale)
        self.ts = labels[batches]
        self.start(work.parameters())

    def start(self, parameters: list[Array]) -> None:
        """Build the network."""
        raise NotImplementedError

    def train(self) -> list[float]:
        """Make the steps of a chunk; gives their losses."""
        raise NotImplementedError

    def epoch(self, batches: Array) -> None:
        """A step with each of other batches, of the shape (steps, n)."""
        raise NotImplementedError

    def held(self, array: Array) -> Any:
        """What `accuracy` is given again and again, as the contender keeps it."""
        return array

    def accuracy(self, x: Any, t: Any) -> float:
        """The share of right answers for images (n, 784), from 0 to 1, and labels (n,)."""
        raise NotImplementedError


class Tanh:
    """The hyperbolic tangent."""

    def forward(self, x: Array) -> Array:
        """Any shape; gives the same."""
        self.y: Array = np.tanh(x)
        return self.y

    def backward(self, dout: Array) -> Array:
        """The slope is 1 - y²."""
        return np.asarray(dout * (1 - self.y * self.y))


class Textbook(Stepper):
    """The textbook's layers on NumPy."""

    name = "textbook (NumPy)"

    def start(self, parameters: list[Array]) -> None:
        """One layer after the other."""
        self.params = {f"p{i}": p for i, p in enumerate(parameters)}
        self.layers: list[Any] = []
        for i in range(0, len(parameters), 2):
            hidden = textbook.ReLU() if self.work.activation == "relu" else Tanh()
            affine = textbook.Affine(self.params, f"p{i}", f"p{i + 1}")
            self.layers += [affine, hidden] if i + 2 < len(parameters) else [affine]
        self.loss = textbook.SoftmaxWithLoss()
        zeros = {key: np.zeros_like(p) for key, p in self.params.items()}
        self.m, self.v, self.count = zeros, {k: z.copy() for k, z in zeros.items()}, 0

    def train(self) -> list[float]:
        """Forward, backward, update."""
        return [self._step(x, t) for x, t in zip(self.xs, self.ts, strict=True)]

    def _step(self, x: Array, t: Array) -> float:
        for layer in self.layers:
            x = layer.forward(x)
        loss = self.loss.forward(x, t)
        dout = self.loss.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        self.count += 1
        for layer in self.layers:
            for key, g in getattr(layer, "grads", {}).items():
                self._update(key, g)
        return loss

    def _update(self, key: str, g: Array) -> None:
        p, m, v = self.params[key], self.m[key], self.v[key]
        if self.work.optimizer == "sgd":
            p -= self.work.lr * g
            return
        rate = self.work.lr * np.sqrt(1 - BETA2**self.count) / (1 - BETA1**self.count)
        m += (1 - BETA1) * (g - m)
        v += (1 - BETA2) * (g * g - v)
        p -= np.float32(rate) * m / (np.sqrt(v) + np.float32(EPS))


class Torch(Stepper):
    """PyTorch in eager mode, with its fused optimizer where it has one."""

    name = "PyTorch"
    package = "torch"

    def start(self, parameters: list[Array]) -> None:
        """PyTorch keeps a weight matrix transposed."""
        torch = self.torch = import_module("torch")
        torch.set_num_threads(1)
        layers: list[Any] = []
        hidden = torch.nn.ReLU if self.work.activation == "relu" else torch.nn.Tanh
        for w, b in zip(parameters[::2], parameters[1::2], strict=True):
            layer = torch.nn.Linear(*w.shape)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(w.T.copy()))
                layer.bias.copy_(torch.from_numpy(b))
            layers += [layer, hidden()]
        self.net = torch.nn.Sequential(*layers[:-1])
        kind = torch.optim.SGD if self.work.optimizer == "sgd" else torch.optim.Adam
        self.optimizer = kind(self.net.parameters(), lr=self.work.lr)
        self.xs, self.ts = torch.from_numpy(self.xs), torch.from_numpy(self.ts)
        self.objective = self.prepared(
            lambda x, t: torch.nn.functional.cross_entropy(self.net(x), t)
        )

    def prepared(self, objective: Any) -> Any:
        """The loss as it is."""
        return objective

    def epoch(self, batches: Array) -> None:
        """A step with each batch, whose images are picked out as PyTorch does it."""
        images, labels = self.torch.from_numpy(self.images), self.torch.from_numpy(self.labels)
        for chosen in self.torch.from_numpy(batches):
            self.xs, self.ts = images[chosen][None], labels[chosen][None]
            self.train()

    def accuracy(self, x: Any, t: Any) -> float:
        """The share of right answers."""
        with self.torch.no_grad():
            return float(np.mean(self.net(self.torch.from_numpy(x)).argmax(dim=1).numpy() == t))

    def train(self) -> list[float]:
        """The loop that PyTorch's tutorials teach."""
        losses = []
        for x, t in zip(self.xs, self.ts, strict=True):
            self.optimizer.zero_grad()
            loss = self.objective(x, t)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return losses


class TorchCompiled(Torch):
    """The same through torch.compile, which needs a C++ compiler and a while."""

    name = "PyTorch, torch.compile"

    def prepared(self, objective: Any) -> Any:
        """Forward and backward as compiled code."""
        return self.torch.compile(objective)


class Jax(Stepper):
    """JAX: a chunk of steps is one compiled `lax.scan`."""

    name = "JAX (jit, lax.scan)"
    package = "jax"

    def start(self, parameters: list[Array]) -> None:
        """The step as a function of parameters, averages and count."""
        one_thread = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ.setdefault("XLA_FLAGS", one_thread)
        jax, jnp = import_module("jax"), import_module("jax.numpy")
        work = self.work
        hidden = jax.nn.relu if work.activation == "relu" else jnp.tanh

        def scores(p: Any, x: Any) -> Any:
            for i in range(0, len(p) - 2, 2):
                x = hidden(x @ p[i] + p[i + 1])
            return x @ p[-2] + p[-1]

        def loss(p: Any, x: Any, t: Any) -> Any:
            logarithms = jax.nn.log_softmax(scores(p, x))
            return -jnp.take_along_axis(logarithms, t[:, None], axis=1).mean()

        def step(state: Any, batch: Any) -> Any:
            p, m, v, count = state
            value, g = jax.value_and_grad(loss)(p, *batch)
            count = count + 1
            if work.optimizer == "sgd":
                return ([a - work.lr * b for a, b in zip(p, g, strict=True)], m, v, count), value
            m = [BETA1 * a + (1 - BETA1) * b for a, b in zip(m, g, strict=True)]
            v = [BETA2 * a + (1 - BETA2) * b * b for a, b in zip(v, g, strict=True)]
            first, second = 1 - BETA1**count, 1 - BETA2**count
            p = [
                a - work.lr * (b / first) / (jnp.sqrt(c / second) + EPS)
                for a, b, c in zip(p, m, v, strict=True)
            ]
            return (p, m, v, count), value

        zeros = [jnp.zeros(p.shape, p.dtype) for p in parameters]
        zeros = zeros if work.optimizer == "adam" else []
        self.state = [jnp.asarray(p) for p in parameters], zeros, zeros, jnp.float32(0)
        self.scan = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches))
        self.right = jax.jit(lambda p, x, t: (scores(p, x).argmax(axis=1) == t).mean())
        self.asarray = jnp.asarray
        self.xs, self.ts = jnp.asarray(self.xs), jnp.asarray(self.ts)
        self.gathering = jax.jit(
            lambda state, x, t, batches: jax.lax.scan(
                lambda s, chosen: step(s, (x[chosen], t[chosen])), state, batches
            )
        )

    def train(self) -> list[float]:
        """One call for all batches; reading the losses waits for it."""
        self.state, losses = self.scan(self.state, (self.xs, self.ts))
        return cast(list[float], np.asarray(losses).tolist())

    def epoch(self, batches: Array) -> None:
        """A step with each batch, whose images are picked out inside of the compiled code."""
        self.images, self.labels = self.held(self.images), self.held(self.labels)
        found = self.gathering(self.state, self.images, self.labels, self.asarray(batches))
        self.state, _ = found

    def held(self, array: Array) -> Any:
        """An array of JAX, which is not copied again at each call."""
        return self.asarray(array)

    def accuracy(self, x: Any, t: Any) -> float:
        """The share of right answers."""
        return float(self.right(self.state[0], x, t))


class Tarograd(Stepper):
    """Machine code that visits all pixels."""

    name = "tarograd, all pixels"
    package = "tarograd"
    skip_zeros: ClassVar[bool] = False
    shared: ClassVar[bool] = False

    def start(self, parameters: list[Array]) -> None:
        """Trace and compile the step."""
        from tarograd.compiler import Recipe, step_program
        from tarograd.compiler.llvm.native import Native
        from tarograd.compiler.lower import lower
        from tarograd.compiler.skipping import pays

        layers: list[tg.nn.Layer] = []
        hidden = tg.nn.ReLU if self.work.activation == "relu" else tg.nn.Tanh
        for w in parameters[::2]:
            layers += [tg.nn.Affine(*w.shape), hidden()]
        net = tg.nn.Sequential(*layers[:-1])
        net.pixel_max = self.scale
        kind = tg.optim.SGD if self.work.optimizer == "sgd" else tg.optim.Adam
        optimizer = kind(net.parameters(), lr=self.work.lr)
        recipe = Recipe(net, net.criterion, optimizer, self.images, self.labels)
        program = lower(step_program(recipe, self.work.batch))
        sparse = ["images"] if self.skip_zeros and pays(self.images) else []
        external = {"images": self.images, "labels": self.labels}
        self.native = Native(program, external, sparse=sparse, shared=self.shared)
        for name, array in zip(recipe.parameters(), parameters, strict=True):
            self.native.view(program.inputs[name])[...] = array
        self.count = 0
        others = np.random.default_rng(2).integers(0, len(self.images), (7, *self.batches.shape))
        self.chunks = [self.batches, *others]

    def train(self) -> list[float]:
        """No Python between the steps; other images in each of eight chunks."""
        steps = len(self.batches)
        fed = {
            "batch": self.chunks[self.count // steps % len(self.chunks)],
            "step": np.arange(self.count, self.count + steps),
            "lr": np.full(steps, self.work.lr),
        }
        self.count += steps
        return cast(list[float], self.native.run(fed, steps).tolist())


class TarogradSkipping(Tarograd):
    """Machine code as `tg.fit` makes it: it leaves out the zeros where there are many."""

    name = "tarograd"
    skip_zeros = True


STEPPERS: tuple[type[Stepper], ...] = (
    TarogradSkipping, Tarograd, Jax, Torch, TorchCompiled, Textbook,
)  # fmt: skip


def present() -> list[type[Stepper]]:
    """Those whose packages are installed."""
    return [kind for kind in STEPPERS if find_spec(kind.package)]
