"""Random numbers: the documented bits, from the algorithm written anew, and what they look like."""

from __future__ import annotations

import zlib
from collections import Counter
from math import erf, sqrt
from typing import Any

import numpy as np
import pytest

from numeric import Array
from tarograd.ops import random

WORD = 2**64 - 1
MANY = 40_000


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10 as in Salmon, Moraes, Dror, Shaw 2011, figure 4 and table 2."""
    c, k = list(counter), list(key)
    for _ in range(10):
        left, right = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(right >> 64) ^ c[1] ^ k[0], right & WORD, (left >> 64) ^ c[3] ^ k[1], left & WORD]
        k = [(k[0] + 0x9E3779B97F4A7C15) & WORD, (k[1] + 0xBB67AE8584CAA73B) & WORD]
    return c


def words(count: int, seed: int, step: int, stream: str) -> list[int]:
    key = [seed, zlib.crc32(stream.encode())]
    return [philox([1 + k // 4, step, 0, 0], key)[k % 4] for k in range(count)]


@pytest.mark.parametrize(
    ("counter", "key", "output"),
    [
        ("0 0 0 0", "0 0", "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b"),
        (
            "243f6a8885a308d3 13198a2e03707344 a4093822299f31d0 082efa98ec4e6c89",
            "452821e638d01377 be5466cf34e90c6c",
            "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6",
        ),
    ],
)
def test_the_algorithm_above_gives_the_published_vectors(
    counter: str, key: str, output: str
) -> None:
    def numbers(text: str) -> list[int]:
        return [int(word, 16) for word in text.split()]

    assert philox(numbers(counter), numbers(key)) == numbers(output)


@pytest.mark.parametrize(
    ("count", "seed", "step", "stream"),
    [
        (1, 0, 0, ""),
        (13, 1, 0, "batches"),
        (8, 12345, 678, "dropout1"),
        (6, WORD, WORD, "β"),
        (0, 3, 4, "x"),
    ],
)
def test_bits_are_the_documented_words(count: int, seed: int, step: int, stream: str) -> None:
    assert random.bits(count, seed, step, stream).tolist() == words(count, seed, step, stream)


def test_the_first_numbers_do_not_depend_on_how_many_are_drawn() -> None:
    assert np.array_equal(random.bits(1000, 5)[:9], random.bits(9, 5))


def draw(kind: str, shape: tuple[int, ...], dtype: Any = float, **how: Any) -> Array:
    how = {"seed": 7, "step": 0, "stream": "test"} | how
    step = how.pop("step")
    if kind == "bernoulli":
        return np.asarray(random.bernoulli(step, shape=shape, **how))
    return np.asarray(getattr(random, kind)(step, shape=shape, dtype=np.dtype(dtype), **how))


@pytest.mark.parametrize(
    ("dtype", "digits"), [(np.float64, 53), (np.float32, 24), (np.float16, 11)]
)
def test_uniform_numbers_are_the_upper_digits_of_the_words(dtype: Any, digits: int) -> None:
    y = draw("uniform", (2, 5), dtype, step=3)
    exact = [(word >> (64 - digits)) / 2**digits for word in words(10, 7, 3, "test")]
    assert y.dtype == dtype
    assert y.ravel().tolist() == exact


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("word", [0, WORD])
def test_the_smallest_and_the_largest_word(
    dtype: Any, word: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "bits", lambda count, *_: np.full(count, word, np.uint64))
    y = draw("uniform", (2,), dtype)
    assert (y < 1).all()
    assert (y > 0).all() == (word > 0)
    assert np.isfinite(draw("normal", (2,), dtype)).all()
    assert not draw("bernoulli", (2,), p=0.0).any()
    assert draw("bernoulli", (2,), p=1.0).all()


def test_uniform_numbers_fill_the_interval_evenly() -> None:
    y = draw("uniform", (MANY,))
    assert y.min() >= 0
    assert y.max() < 1
    assert abs(y.mean() - 1 / 2) < 5 / sqrt(12 * MANY)
    assert abs(y.var() - 1 / 12) < 5 / sqrt(180 * MANY)
    for places in (np.floor(y * 256), np.floor(y * 2.0**40) % 256):  # high digits, low digits
        counts = np.bincount(places.astype(int), minlength=256)
        chi_square = np.sum((counts - MANY / 256) ** 2) / (MANY / 256)
        assert abs(chi_square - 255) < 5 * sqrt(2 * 255)


def test_normal_numbers_have_the_normal_distribution() -> None:
    y = np.sort(draw("normal", (MANY,)))
    assert abs(y.mean()) < 5 / sqrt(MANY)
    assert abs(y.var() - 1) < 5 * sqrt(2 / MANY)
    expected = np.array([(1 + erf(x / sqrt(2))) / 2 for x in y])
    distance = np.max(np.abs(expected - (np.arange(MANY) + 0.5) / MANY))
    assert distance * sqrt(MANY) < 2.2  # Kolmogorov and Smirnov: less than one seed in 10,000


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_true_comes_with_the_probability_p(p: float) -> None:
    assert abs(draw("bernoulli", (MANY,), p=p).mean() - p) < 5 * sqrt(p * (1 - p) / MANY)


@pytest.mark.parametrize("other", [{"seed": 8}, {"step": 1}, {"stream": "tesu"}])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_other_seeds_steps_and_streams_are_independent(kind: str, other: dict[str, Any]) -> None:
    a, b = draw(kind, (MANY,)), draw(kind, (MANY,), **other)
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / sqrt(MANY)
    assert abs(np.corrcoef(a[1:], b[:-1])[0, 1]) < 5 / sqrt(MANY)


def test_neighbors_in_a_stream_are_independent() -> None:
    y = draw("normal", (MANY,))
    for lag in (1, 2, 3, 4, 8):
        assert abs(np.corrcoef(y[lag:], y[:-lag])[0, 1]) < 5 / sqrt(MANY)


@pytest.mark.parametrize("count", [0, 1, 2, 1000, 60_000])
def test_a_permutation_has_everything_once(count: int) -> None:
    order = random.permutation(count, seed=3, step=1, stream="batches")
    assert sorted(order.tolist()) == list(range(count))
    expected = sorted(range(count), key=words(count, 3, 1, "batches").__getitem__)
    assert order.tolist() == expected


def test_of_equal_words_the_first_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = np.random.default_rng(0).integers(0, 3, (4, 500)).astype(np.uint64)
    same = sum(part << np.uint64(16 * i) for i, part in enumerate(parts))
    monkeypatch.setattr(random, "bits", lambda *_: same)
    order = random.permutation(500, seed=0)
    assert len(np.unique(same)) < 100
    assert order.tolist() == sorted(range(500), key=same.__getitem__)


def test_all_permutations_are_equally_likely() -> None:
    seen = Counter(tuple(random.permutation(3, 0, step).tolist()) for step in range(3000))
    assert len(seen) == 6
    assert max(abs(count - 500) for count in seen.values()) < 5 * sqrt(3000 * 5 / 36)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 2**64}, {"step": -3}, {"seed": 1.5}])
def test_seeds_and_steps_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    ((name, number),) = wrong.items()
    with pytest.raises(ValueError, match="a whole number from 0 to") as caught:
        random.bits(3, **{"seed": 0} | wrong)
    assert f"{name}={number}:" in str(caught.value)
