"""Compiled scores: the accuracies of a run as machine code, held against eager code first."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from tarograd.compiler import Recipe, Untraceable, scores_program
from tarograd.compiler.compare import refuse, unequal
from tarograd.compiler.lower import lower
from tarograd.data import Split
from tarograd.nn import Network
from tarograd.nn.models import CHUNK

PIECE = 2e9  # multiplications between two looks at what else there is to do: under 0.1 s
NEAR = 1e-5  # of all scores; a wrong one is wrong by far more, and what rounding can do is measured
# Multiplications of all accuracies at once, below which making machine code takes longer.
WORTH = 5e8


def worthwhile(network: Network, images: int) -> bool:
    """Whether so many images are work enough to make machine code for.

    Example:
        >>> import tarograd as tg
        >>> net = tg.nn.TwoLayerNet(784, 50, 10)
        >>> worthwhile(net, 70_000), worthwhile(net, 1797)
        (True, False)
    """
    return images * sum(p.size for p in network.parameters()) >= WORTH


class Scorer:
    """Computes accuracies as `network.accuracy` does, in the memory of its own arrays.

    Args:
        recipe: of the training step; its network is the one that is asked.
        sparse: the names of inputs that are mostly zeros: `("images",)` or none.
        threads: how many may work on it together.

    Raises:
        Untraceable: if the scores cannot be compiled, or the network has its own `accuracy`.
    """

    def __init__(self, recipe: Recipe, sparse: Collection[str], threads: int) -> None:
        kind = type(recipe.network)
        if (kind.accuracy, kind.predict) != (Network.accuracy, Network.predict):
            raise Untraceable(f"{kind.__name__} has its own accuracy or predict")
        if len(recipe.images) < CHUNK:
            raise Untraceable(f"fewer than {CHUNK} images")
        self.recipe = recipe
        self.program = lower(scores_program(recipe, CHUNK))
        self.native = self._native(sparse, threads > 1)
        self._checked = False

    def _native(self, sparse: Collection[str], shared: bool) -> Any:
        external = {"images": self.recipe.images}
        try:
            from tarograd.compiler.llvm.native import Native

            return Native(self.program, external, sparse=sparse, shared=shared)
        except (ImportError, OSError, RuntimeError) as error:
            raise Untraceable(f"LLVM cannot be used here: {error}") from error

    def accuracy(self, split: Split, threads: int, pause: Callable[[], None]) -> float:
        """The share of images whose highest score is that of their label.

        Args:
            split: images of the shape of those to train on, and labels.
            threads: so many work on it; the bits are the same.
            pause: is called several times a second, and may raise.

        Raises:
            ArithmeticError: if the first scores differ from the eager ones.
        """
        images, labels = split
        calls = len(split) // CHUNK
        places = np.arange(calls * CHUNK).reshape(calls, CHUNK)
        for name, p in self.recipe.parameters().items():
            self.native.view(self.program.inputs[name])[...] = p.value
        if not self._checked:
            self._check()
        self.native.external["images"] = np.ascontiguousarray(images)
        most = max(1, int(PIECE / (CHUNK * sum(p.size for p in self.recipe.network.parameters()))))
        best = []
        for first in range(0, calls, most):
            pause()
            part = places[first : first + most]
            best.append(self.native.run({"batch": part}, len(part), threads).ravel())
        rest = images[calls * CHUNK :]  # as `network.predict` takes them: the same rows at a time
        if len(rest):
            best.append(self.recipe.network.predict(rest).argmax(axis=1))
        return float(np.mean(np.concatenate(best) == labels))

    def _check(self) -> None:
        """The first scores twice: what the machine code makes of them has to be the same."""
        batch, images = np.arange(CHUNK), self.recipe.images
        truth = self.recipe.network.predict(images[:CHUNK])
        best = self.native.run({"batch": batch})[0]
        found = self.native.result("scores")
        given = {"images": images, "batch": batch}
        given |= {name: p.value for name, p in self.recipe.parameters().items()}
        output = self.program.outputs["scores"]
        near = np.linalg.norm(found - truth) <= NEAR * np.linalg.norm(truth)
        if not near and unequal(self.program, given, [output], [found], [truth]) is not None:
            refuse("the compiled scores are not the eager ones", self.program, given, ["images"])
        if (best != found.argmax(axis=1)).any():
            refuse("the compiled scores have other maxima", self.program, given, ["images"])
        self._checked = True
