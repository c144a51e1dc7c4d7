"""Mistakes of other people's layers that once had no name, or a misleading one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarograd as tg

RANDOM = np.random.default_rng(11)


def first(forward: Any, backward: Any, *inputs: Any) -> Any:
    """The first cause that the report of a pair of functions gives."""
    report = tg.check_gradients((forward, backward), *inputs)
    assert report.verdict == "wrong", str(report)
    return report.causes[0]


def test_the_gate_that_is_wrong_is_pointed_out() -> None:
    def forward(x: Any, b: Any) -> Any:
        z = x + b
        i, g = 1 / (1 + np.exp(-z[:, :4])), np.tanh(z[:, 4:])
        return i * g, (i, g)

    def backward(d: Any, cache: Any) -> Any:
        i, g = cache
        dz = np.concatenate([d * g * i * (1 - i), d * i * g * (1 - g)], axis=1)
        return dz, dz.sum(axis=0)

    report = tg.check_gradients((forward, backward), RANDOM.normal(size=(3, 8)), np.zeros(8))
    assert (report.causes[0].name, report.causes[0].leaf) == ("formula", "x")
    where = {c.leaf: c.evidence for c in report.causes}
    assert "only index 4 to 7 of axis 1 differs" in where["x"]
    assert "index 4 to 7 of axis 0" in where["b"]


def test_a_sign_in_a_part_of_an_axis_is_a_sign() -> None:
    def backward(d: Any, w: Any) -> Any:
        return np.concatenate([-d[:, :3] * w[:3], d[:, 3:] * w[3:]], axis=1)

    w = RANDOM.normal(size=6)
    cause = first(lambda x: (x * w, w), backward, RANDOM.normal(size=(4, 6)))
    assert cause.name == "sign"
    assert "index 0 to 2 of axis 1" in cause.why


def test_a_mean_over_all_elements_names_both_lengths() -> None:
    cause = first(lambda x: ((x * x).mean(), x), lambda d, x: 2 * d * x, RANDOM.normal(size=(5, 3)))
    assert cause.name == "scale-batch"
    assert "besides (the length 3 of axis 1 of x)" in cause.why
    assert cause.fix == "divide by 15"


def test_a_gradient_that_is_that_of_another_leaf() -> None:
    def forward(x: Any, gamma: Any, beta: Any) -> Any:
        return gamma * np.tanh(x) + beta, (x, gamma)

    def backward(d: Any, cache: Any) -> Any:
        x, gamma = cache
        return d * gamma * (1 - np.tanh(x) ** 2), d.sum(axis=0), d.sum(axis=0)

    cause = first(forward, backward, *(RANDOM.normal(size=s) for s in ((5, 4), 4, 4)))
    assert (cause.name, cause.leaf) == ("wrong-tensor", "gamma")
    assert "the gradient of beta in place of that of gamma" in cause.why


def test_the_smallest_instead_of_the_largest_in_windows_that_overlap() -> None:
    def forward(x: Any) -> Any:
        windows = np.lib.stride_tricks.sliding_window_view(x, 3, axis=1)
        return windows.max(axis=2), x

    def backward(d: Any, x: Any) -> Any:
        dx = np.zeros_like(x)
        for i, j in np.ndindex(*d.shape):
            dx[i, j + x[i, j : j + 3].argmin()] += d[i, j]
        return dx

    cause = first(forward, backward, RANDOM.normal(size=(2, 8)))
    assert cause.name == "mask"
    assert "other elements than those that forward chose" in cause.why


@pytest.mark.parametrize("wrong", [True, False])
def test_a_variance_whose_mean_was_forgotten(wrong: bool) -> None:
    def backward(d: Any, x: Any) -> Any:
        return d * 2 * (x if wrong else x - x.mean(axis=0)) / len(x)

    x = RANDOM.normal(size=(5, 3)) + 1
    report = tg.check_gradients((lambda x: (x.var(axis=0), x), backward), x)
    assert report.verdict == ("wrong" if wrong else "right")
    if wrong:
        assert report.causes[0].name == "missing-term"
        assert "mean along axis 0" in report.causes[0].why


def test_a_gradient_of_what_the_output_does_not_depend_on() -> None:
    def forward(x: Any, b: Any) -> Any:
        z = x + b
        return np.tanh(z - z.mean(axis=0)), z

    def backward(d: Any, z: Any) -> Any:
        dz = d * (1 - np.tanh(z - z.mean(axis=0)) ** 2)
        return dz - dz.mean(axis=0), dz.sum(axis=0)

    cause = first(forward, backward, RANDOM.normal(size=(5, 3)), np.zeros(3))
    assert (cause.name, cause.leaf) == ("extra-term", "b")


def test_what_labels_mark_is_told_though_its_factor_varies() -> None:
    def forward(x: Any, t: Any) -> Any:
        return x[t] * x[t], (x, t)

    def backward(d: Any, cache: Any) -> Any:
        x, t = cache
        dx = np.zeros_like(x)
        np.add.at(dx, t, 2 * d * x[t])
        return dx / np.maximum(np.bincount(t, minlength=len(x)), 1)

    cause = first(forward, backward, RANDOM.normal(size=6), np.array([0, 2, 2, 5, 2, 0]))
    assert cause.name == "formula"
    assert "elements that t marks" in cause.why


def test_both_terms_of_a_normalization_with_the_same_wrong_count() -> None:
    def forward(x: Any) -> Any:
        y = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
        return y, (x, y)

    def backward(d: Any, cache: Any) -> Any:
        x, y = cache
        shared = d.sum(axis=1, keepdims=True) + y * (d * y).sum(axis=1, keepdims=True)
        return (d - shared / 4) / x.std(axis=1, keepdims=True)

    cause = first(forward, backward, RANDOM.normal(size=(3, 8)))
    assert cause.name == "formula"
    assert "wrong constant factor (2" in cause.why


def test_a_wrong_sign_where_another_input_has_to_add_up_to_one() -> None:
    def forward(x: Any, q: Any) -> Any:
        p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        return (q * np.log(q / p)).sum(), (p, q)

    def backward(d: Any, cache: Any) -> Any:
        p, q = cache
        return d * (q - p), d * (np.log(q / p) + 1)

    q = RANDOM.uniform(0.1, 1, size=(4, 3))
    cause = first(forward, backward, RANDOM.normal(size=(4, 3)), q / q.sum(axis=1, keepdims=True))
    assert (cause.name, cause.leaf) == ("sign", "x")


def test_an_overflow_far_out_hides_no_mistake_here() -> None:
    def forward(x: Any) -> Any:
        return np.logaddexp(0, x), x

    report = tg.check_gradients((forward, lambda d, x: d * np.exp(x)), RANDOM.normal(size=(4, 5)))
    assert [c.name for c in report.causes] == ["formula", "nonfinite-backward"]


def test_a_formula_is_told_with_the_right_one() -> None:
    def forward(x: Any) -> Any:
        y = 1 / (1 + np.exp(-x))
        return y, y

    cause = first(forward, lambda d, y: d * (1 - y * y), RANDOM.normal(size=(4, 5)))
    assert (
        cause.why == "the formula of the derivative is wrong: it is dout * (1 - y**2), as of tanh"
    )
    assert cause.fix == "dx = dout * y * (1 - y), as of a sigmoid"


def test_a_factor_that_is_a_length_by_chance_is_not_told_as_one() -> None:
    cause = first(lambda x: (x**3, x), lambda d, x: d * x**2, RANDOM.normal(size=(4, 3)))
    assert cause.name == "scale"
    assert "length" not in cause.why
    cause = first(lambda x: (x.mean(axis=1), x), lambda d, x: d[:, None] + 0 * x, np.ones((4, 3)))
    assert "(the length 3 of axis 1 of x)" in cause.why


def test_the_output_of_a_normalization_is_not_said_to_be_used_for_its_input() -> None:
    """Its own output is left as it is by it, which fits a missing factor as well."""

    def forward(x: Any) -> Any:
        return x / np.linalg.norm(x, axis=1, keepdims=True), x

    def backward(d: Any, x: Any) -> Any:
        y = x / np.linalg.norm(x, axis=1, keepdims=True)
        return d - y * (d * y).sum(axis=1, keepdims=True)

    cause = first(forward, backward, RANDOM.normal(size=(4, 5)))
    assert cause.name == "formula"


@pytest.mark.parametrize("square", [True, False])
def test_the_batch_is_found_where_weights_stand_first(square: bool) -> None:
    size = 4 if square else 3

    def forward(w: Any, x: Any) -> Any:
        return x @ w, (w, x)

    def backward(d: Any, cache: Any) -> Any:
        w, x = cache
        return x.T @ d / len(x), d @ w.T

    inputs = RANDOM.normal(size=(4, size)), RANDOM.normal(size=(4 if square else 5, 4))
    cause = first(forward, backward, *inputs)
    assert (cause.name, cause.leaf) == ("scale-batch", "w")
    assert "len(x)" not in cause.fix  # it is divided once too often


@pytest.mark.parametrize(
    ("slope", "words"), [(0.01, "below a threshold"), (None, "are cut off in forward")]
)
def test_a_mask_is_told_with_its_side(slope: float | None, words: str) -> None:
    def forward(x: Any) -> Any:
        return np.where(x > 0, x, 0.1 * x if slope else 0), x

    cause = first(forward, lambda d, x: d * np.where(x > 0, 1, slope or 1), RANDOM.normal(size=9))
    assert cause.name == "mask"
    assert words in cause.why


@pytest.mark.parametrize(("power", "words"), [(0, "is not divided by it"), (2, "too often")])
def test_the_samples_part_beside_a_regularizer(power: int, words: str) -> None:
    def loss(w: Any, x: Any, t: Any) -> Any:
        p = np.exp(x @ w) / np.exp(x @ w).sum(axis=1, keepdims=True)
        value = -np.log(p[np.arange(len(t)), t]).mean() + 0.1 * (w * w).sum()
        return value, x.T @ (p - np.eye(3)[t]) / len(t) ** power + 0.2 * w

    x, t = RANDOM.normal(size=(6, 5)), np.array([0, 1, 2, 0, 1, 2])
    report = tg.check_gradients(loss, RANDOM.normal(size=(5, 3)), x, t, grad=True)
    assert [c.name for c in report.causes] == ["scale-batch"]
    assert words in report.causes[0].why
