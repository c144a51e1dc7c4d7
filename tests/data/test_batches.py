"""Mini-batches are a function of the seed and the step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarograd.data import Batches


@given(
    size=st.integers(1, 60),
    batch_size=st.integers(1, 80),
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 10**9),
)
def test_an_epoch_holds_every_image_once(size: int, batch_size: int, seed: int, epoch: int) -> None:
    batches = Batches(size, batch_size, seed)
    steps = batches.steps_per_epoch
    assert (steps - 1) * batch_size < size <= steps * batch_size
    parts = [batches.indices(epoch * steps + k) for k in range(steps)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(size))
    assert all(len(part) == min(batch_size, size) for part in parts[:-1])


@given(
    steps=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    sampling=st.sampled_from(["shuffle", "replacement"]),
)
def test_a_batch_does_not_depend_on_what_was_asked_before(steps: list[int], sampling: Any) -> None:
    batches = Batches(10, 3, 5, sampling)
    for step in steps:
        np.testing.assert_array_equal(
            batches.indices(step), Batches(10, 3, 5, sampling).indices(step)
        )


@pytest.mark.parametrize("sampling", ["shuffle", "replacement"])
def test_seeds_and_epochs_differ(sampling: Any) -> None:
    orders = {
        tuple(Batches(50, 50, seed, sampling).indices(step).tolist())
        for seed in range(10)
        for step in range(10)
    }
    assert len(orders) == 100


def test_a_batch_larger_than_the_set_is_the_set() -> None:
    batches = Batches(7, 100, 0)
    assert batches.steps_per_epoch == 1
    for step in range(3):
        assert sorted(batches.indices(step).tolist()) == list(range(7))


def test_the_last_batch_is_the_short_one() -> None:
    batches = Batches(1438, 100, 0)
    assert batches.steps_per_epoch == 15
    assert [len(batches.indices(step)) for step in (13, 14, 15)] == [100, 38, 100]


def test_every_place_is_as_likely() -> None:
    firsts = np.array([Batches(5, 5, 0).indices(step) for step in range(5000)])
    for place in range(5):
        counts = np.bincount(firsts[:, place], minlength=5)
        # Each count is binomial(5000, 1/5): mean 1000, deviation 28.3; 5 deviations.
        assert np.abs(counts - 1000).max() < 142


def test_replacement_draws_as_the_textbook_does() -> None:
    batches = Batches(1000, 100, 0, "replacement")
    assert batches.steps_per_epoch == 10
    drawn = np.array([batches.indices(step) for step in range(1000)])
    assert drawn.shape == (1000, 100)
    assert drawn.min() == 0
    assert drawn.max() == 999
    counts = np.bincount(drawn.ravel(), minlength=1000)
    # The sum of (count - 100)**2 / 100 is chi-square with 999 degrees: mean 999, deviation 44.7.
    assert abs(((counts - 100) ** 2 / 100).sum() - 999) < 5 * 44.7
    # Of 100 draws from 1000, 1000 * (1 - 0.999**100) = 95.2 are distinct on average.
    distinct = np.mean([len(np.unique(batch)) for batch in drawn])
    assert abs(distinct - 95.2079) < 0.35


@pytest.mark.parametrize(
    ("size", "batch_size", "steps"), [(60_000, 100, 600), (7, 3, 2), (5, 9, 1)]
)
def test_an_epoch_with_replacement_is_a_count_of_steps(
    size: int, batch_size: int, steps: int
) -> None:
    assert Batches(size, batch_size, 0, "replacement").steps_per_epoch == steps
    assert len(Batches(size, batch_size, 0, "replacement").indices(0)) == batch_size


def test_the_cached_order_cannot_be_spoiled() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Batches(10, 5, 0).indices(0)[0] = 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 10, 0), "size=0: it is a number of images"),
        ((10, 0, 0), "batch_size=0: it is a number of images, a whole number from 1 on"),
        ((10, -3, 0), "batch_size=-3"),
        ((10, 2.5, 0), r"batch_size=2\.5"),
        ((10, "5", 0), "batch_size='5'"),
        ((10, True, 0), "batch_size=True"),
        ((10, None, 0), "batch_size=None"),
        ((10, 5, -1), "seed=-1"),
        ((10, 5, 2**64), "seed=18446744073709551616"),
        ((10, 5, 0, "replace"), "sampling='replace': write 'shuffle' .* or 'replacement'"),
    ],
)
def test_bad_values_are_refused_with_advice(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Batches(*arguments)


def test_a_negative_step_is_refused() -> None:
    with pytest.raises(ValueError, match="step=-1: steps are counted from 0"):
        Batches(10, 5, 0).indices(-1)


@given(
    size=st.integers(1, 60),
    batch_size=st.integers(1, 80),
    first=st.integers(0, 200),
    count=st.integers(1, 9),
    sampling=st.sampled_from(["shuffle", "replacement"]),
)
def test_several_batches_are_one_after_the_other(
    size: int, batch_size: int, first: int, count: int, sampling: Any
) -> None:
    batches = Batches(size, batch_size, 3, sampling)
    steps = range(first, first + count)
    singly = [batches.indices(step) for step in steps]
    epochs = {step // batches.steps_per_epoch for step in steps}
    whole = all(len(rows) == min(batch_size, size) for rows in singly)
    if sampling == "replacement" or (len(epochs) == 1 and whole):
        np.testing.assert_array_equal(batches.several(first, count), singly)
    else:
        with pytest.raises(ValueError, match="left in the epoch"):
            batches.several(first, count)
