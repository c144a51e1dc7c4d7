"""Which leaf is looked into for the cause, how closely, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tarograd.checking.bench import Patience
from tarograd.checking.case import Case
from tarograd.checking.causes import closer_look, first_look, last_look
from tarograd.checking.report import Cause

SURE = 0.6  # with such a cause the other leaves need no long search: they may follow from it
CLOSELY = 2  # leaves that get all experiments while no cause is known
SHARES = 0.7, 0.9  # of the work that is left, for each of them
EARLY = 0.7  # while so much of the work is left, or but two were, more leaves get a first look

Look = Callable[[str], tuple[Cause | None, Case | None]]


@dataclass
class Search:
    """The causes of some wrong leaves.

    Args:
        leaves: the simplest first.
        look: from a leaf to the cause that is plain, or else to its elements, for experiments.
        patience: how much work there may be.
        known: causes that were found before.
    """

    leaves: Sequence[str]
    look: Look
    patience: Patience
    known: Sequence[Cause]
    causes: dict[str, Cause | None] = field(default_factory=dict)
    closely: int = 0

    def run(self) -> dict[str, Cause | None]:
        """A first look at some leaves, a closer one at two while none is sure, then the others."""
        whole = self.patience.left
        unclear: list[Case] = []
        for k, leaf in enumerate(self.leaves):
            if k > 1 and self.patience.left < EARLY * whole and unclear:
                self._closely(unclear)
                unclear = []
            case = self._first(leaf, 1 / (len(self.leaves) - k + 1))
            unclear += [case] if case is not None else []
        self._closely(unclear)
        return self.causes

    def _first(self, leaf: str, part: float) -> Case | None:
        """The elements of a leaf, where a first look does not tell the cause."""
        self.causes[leaf], case = self.look(leaf)
        if case is None:
            return None
        with self.patience.share(part):
            cause = first_look(case)
        self.causes[leaf] = cause
        return case if cause.name == "unclassified" else None

    def _closely(self, unclear: list[Case]) -> None:
        """Look into what a first look did not tell."""
        for case in unclear:
            first = self.causes[case.leaf]
            assert first is not None
            causes = [c for c in (*self.causes.values(), *self.known) if c is not None]
            if self.closely < CLOSELY and not any(c.confidence > SURE for c in causes):
                with self.patience.share(SHARES[self.closely]):
                    self.causes[case.leaf] = closer_look(case, first)
                self.closely += 1
            else:
                with self.patience.share(SHARES[0]):
                    self.causes[case.leaf] = last_look(case, first)
