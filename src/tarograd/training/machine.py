"""Compiled training steps: many at a time as machine code, held against eager code first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tarograd.compiler import Recipe, Untraceable, step_program
from tarograd.compiler.compare import refuse, unequal
from tarograd.compiler.llvm.team import cores
from tarograd.compiler.lower import lower
from tarograd.compiler.skipping import pays, visited
from tarograd.data import Batches
from tarograd.graph import Array
from tarograd.training.pace import Pace
from tarograd.training.scorer import Scorer, worthwhile

AGREEMENT = 1e-2  # of the length of the first update; a wrong one is wrong by far more


class Machine:
    """Makes the steps of a run as machine code, in the memory of its own arrays.

    Args:
        recipe: what a step is made of; its optimizer has made `done` steps.
        batches: the mini-batches of the run.
        skip_zeros: whether products may leave out the zeros of the images, if there are so many
            that this is faster. It changes no bit of the results.
        threads: so many make a step together; None for as many as are fastest.
        measured: of how many images the accuracies are computed at a time.

    Attributes:
        scorer: computes the accuracies, or None.

    Raises:
        Untraceable: if the step cannot be compiled; the message says why.
    """

    def __init__(
        self,
        recipe: Recipe,
        batches: Batches,
        skip_zeros: bool = True,
        threads: int | None = None,
        measured: int = 0,
    ) -> None:
        self.recipe, self.batches = recipe, batches
        self.pace = Pace(threads, cores())
        size = len(batches.indices(0))
        self.program = lower(step_program(recipe, size))
        self.sparse = ("images",) if skip_zeros and pays(recipe.images) else ()
        self.native = self._compile()
        if not self.native.phases:
            self.pace = Pace(1, 1)
        self._checked = False
        self.scorer, self._unscored = self._score(measured)

    def _score(self, measured: int) -> tuple[Scorer | None, str]:
        """What computes the accuracies, or why that is left to NumPy."""
        if not worthwhile(self.recipe.network, measured):
            return None, "too little work to make machine code for it"
        try:
            return Scorer(self.recipe, self.sparse, max(self.pace.counts)), ""
        except Exception as error:  # as in a run that is not compiled at all
            return None, f"{error}"

    def _compile(self) -> Any:
        external = {"images": self.recipe.images, "labels": self.recipe.labels}
        try:
            from tarograd.compiler.llvm.native import Native

            shared = max(self.pace.counts) > 1
            return Native(self.program, external, sparse=self.sparse, shared=shared)
        except (ImportError, OSError, RuntimeError) as error:
            raise Untraceable(f"LLVM cannot be used here: {error}") from error

    def report(self) -> str:
        """What the machine code of a step consists of, how long each part takes, and why so."""
        from tarograd.compiler.llvm.timing import timed
        from tarograd.compiler.report import report

        images = self.recipe.images
        accuracies = f"NumPy, {self._unscored}" if self.scorer is None else "machine code"
        chosen = "left out" if self.sparse else "multiplied like all other numbers"
        return (
            f"{report(self.native.plan, timed(self.native))}\n"
            f"zeros of the images: {chosen}; {np.mean(images != 0):.0%} of the pixels are not "
            f"zero, {visited(images):.0%} would be visited without them\n"
            f"accuracies: {accuracies}"
        )

    def possible(self, done: int) -> int:
        """How many steps from here on have a whole batch, until the epoch ends."""
        place = done % self.batches.steps_per_epoch
        whole = self.batches.steps_per_epoch
        if self.batches.sampling == "shuffle" and self.batches.batch_size < self.batches.size:
            whole = self.batches.size // self.batches.batch_size
        return whole - place

    def make(self, done: int, most: int, eager: Callable[[int], float]) -> Array:
        """Make at most `most` steps after the first `done`.

        Args:
            done: the steps made before.
            most: at least 1, and at most `possible(done)`.
            eager: makes one step in eager code; it is called once, to compare, and again to say
                what became infinite.

        Returns:
            the losses, as many as steps were made; the network and the optimizer are up to date.

        Raises:
            ArithmeticError: if the first step differs from the eager one.
        """
        self._push()
        if not self._checked:
            return self._compared(done, eager)
        steps = min(most, self.pace.steps)
        began = time.perf_counter()
        losses = self._run(done, steps)
        self.pace.note(steps, time.perf_counter() - began)
        bad = np.flatnonzero(~np.isfinite(losses))
        if bad.size:
            self._push()
            self._run(done, int(bad[0]))
            self._pull(done + int(bad[0]))
            eager(done + int(bad[0]))
            raise ArithmeticError(f"step {done + bad[0] + 1}: infinite only as machine code")
        self._pull(done + steps)
        return losses

    def _compared(self, done: int, eager: Callable[[int], float]) -> Array:
        """The first step twice: what the machine code makes of it has to be the same."""
        given = self._given(done)
        losses = self._run(done, 1)
        loss = eager(done)
        if told := self._disagreement(given, loss, losses[0]):
            self._hold(told, given, loss)
        self._checked = True
        self._pull(done + 1)
        return losses

    def _given(self, done: int) -> dict[str, Any]:
        """The inputs of a step, by name."""
        names = [*self.recipe.parameters(), *self.recipe.states()]
        return {
            "images": self.recipe.images,
            "labels": self.recipe.labels,
            "batch": np.asarray(self.batches.indices(done), np.int64),
            "step": np.int64(done),
            "lr": np.float64(self.recipe.optimizer.learning_rate(done)),
            **{name: self.native.view(self.program.inputs[name]).copy() for name in names},
        }

    def _disagreement(self, given: dict[str, Any], loss: float, found: float) -> str | None:
        """In what the two steps are not nearly the same."""
        if not abs(found - loss) <= 1e-4 * abs(loss) + 1e-7:
            return f"the compiled step gives the loss {found:.9g}, the eager one {loss:.9g}"
        for name, p in self.recipe.parameters().items():
            change = np.linalg.norm((p.value - given[name]).astype(np.float64))
            error = np.linalg.norm((self.native.result(name) - p.value).astype(np.float64))
            size = np.linalg.norm(p.value.astype(np.float64)) * np.finfo(p.dtype).eps * 8
            if not error <= AGREEMENT * change + size:
                return (
                    f"the compiled step changes {name} otherwise than the eager one, by "
                    f"{error:.3g} where the update is {change:.3g}"
                )
        return None

    def _hold(self, told: str, given: dict[str, Any], loss: float) -> None:
        """Raise, unless rounding alone can make such a difference."""
        expected = {"loss": loss} | {k: p.value for k, p in self.recipe.parameters().items()}
        outputs = [self.program.outputs[name] for name in expected]
        truth = [np.asarray(x, v.dtype) for x, v in zip(expected.values(), outputs, strict=True)]
        found = [self.native.result(name) for name in expected]
        if unequal(self.program, given, outputs, found, truth) is not None:
            refuse(told, self.program, given, self.native.external)

    def _run(self, done: int, steps: int) -> Array:
        """Make steps; once more with all zeros if something becomes infinite, since 0 inf is NaN.

        What is not finite once remains so; so it is enough to look at the end.
        """
        losses = self._stepped(done, steps)
        if not self.sparse:
            return losses
        names = [*self.recipe.parameters(), *self.recipe.states()]
        kept = (self.native.view(self.program.inputs[name]) for name in names)
        if all(np.isfinite(array).all() for array in kept):
            return losses
        self.sparse = ()
        self.native = self._compile()
        self._push()
        return self._stepped(done, steps)

    def _stepped(self, done: int, steps: int) -> Array:
        numbers = range(done, done + steps)
        rates = [self.recipe.optimizer.learning_rate(step) for step in numbers]
        fed = {
            "batch": self.batches.several(done, steps).astype(np.int64, copy=False),
            "step": np.array(numbers, np.int64),
            "lr": np.array(rates, np.float64),
        }
        losses: Array = self.native.run(fed, steps, self.pace.threads)
        return losses

    def _push(self) -> None:
        """Hand the parameters and the optimizer's state over."""
        inputs, native = self.program.inputs, self.native
        for name, p in self.recipe.parameters().items():
            native.view(inputs[name])[...] = p.value
        arrays = list(self.recipe.optimizer.state_arrays().values())[1:]
        for name, array in zip(self.recipe.states(), arrays, strict=True):
            native.view(inputs[name])[...] = array

    def _pull(self, done: int) -> None:
        """Take them back."""
        for name, p in self.recipe.parameters().items():
            p.value = self.native.result(name)
        names = list(self.recipe.optimizer.state_arrays())[1:]
        found = (self.native.result(name) for name in self.recipe.states())
        count = {"step_count": np.array(done, np.int64)}
        self.recipe.optimizer.load_state_arrays(count | dict(zip(names, found, strict=True)))
        self.recipe.network.zero_grad()
