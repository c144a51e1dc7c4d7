"""Parameters are declared as fields: found, named and ordered as they stand there."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from textbook import numbers

import tarograd as tg
from tarograd import nn

ORDER = """
import tarograd as tg
from tarograd import nn

class Net(nn.Network):
    def __init__(self):
        super().__init__()
        self.zeta = tg.Parameter(1.0)
        self.body = nn.Sequential(nn.Affine(3, 2), nn.ReLU(), nn.Affine(2, 2))
        self.alpha = [tg.Parameter(2.0), nn.Affine(2, 1)]
        self.heads = {"q": nn.Affine(2, 1), "a": nn.Affine(2, 1)}

print(*Net().named_parameters(), *nn.TwoLayerNet(3, 2, 2).named_parameters())
"""


@pytest.mark.parametrize("hash_seed", ["0", "1", "4711"])
def test_the_order_is_that_of_declaration_under_every_hash_seed(hash_seed: str) -> None:
    listed = subprocess.run(
        [sys.executable, "-c", ORDER],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    ).stdout.split()
    assert listed == [
        "zeta",
        *("body.affine1.w", "body.affine1.b", "body.affine2.w", "body.affine2.b"),
        *("alpha.0", "alpha.1.w", "alpha.1.b"),
        *("heads.q.w", "heads.q.b", "heads.a.w", "heads.a.b"),
        *("w1", "b1", "w2", "b2"),
    ]


class Book(nn.Layer):
    """Layers in a dict, as the textbook holds them, and filled after its declaration."""

    def __init__(self) -> None:
        self.layers: dict[str, nn.Layer] = {}
        self.layers["Affine1"] = nn.Affine(3, 2)
        self.layers["Relu1"] = nn.ReLU()
        self.layers["Affine2"] = nn.Affine(2, 2)

    def call(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer(x)
        return x


def test_the_textbooks_dict_of_layers_is_searched() -> None:
    book = Book()
    assert list(book.named_parameters()) == [
        *("layers.Affine1.w", "layers.Affine1.b", "layers.Affine2.w", "layers.Affine2.b")
    ]
    book.forward(numbers(4, 3))
    book.backward(np.ones((4, 2)))
    np.testing.assert_array_equal(book.parameters()[3].grad, [4, 4])


class Fields(nn.Layer):
    def __init__(self) -> None:
        self.rate = 0.1
        self.pair = (tg.Parameter(1.0), "text")
        self.rows = [[tg.Parameter(2.0)], [tg.Parameter(3.0), nn.Affine(2, 1)]]
        self._private = tg.Parameter(4.0)
        self._hidden = [tg.Parameter(5.0)]
        self.value = tg.Tensor(6.0)


def test_lists_tuples_and_lists_in_lists_are_searched_and_private_fields_are_not() -> None:
    fields = Fields()
    assert list(fields.named_parameters()) == [
        *("pair.0", "rows.0.0", "rows.1.0", "rows.1.1.w", "rows.1.1.b")
    ]
    assert [p.item() for p in fields.parameters()[:3]] == [1, 2, 3]


def test_a_field_names_what_is_in_it_unless_it_has_a_name() -> None:
    class Named(nn.Layer):
        def __init__(self) -> None:
            self.a = tg.Parameter(1.0)
            self.b = tg.Parameter(1.0, "bias")
            self.c = [nn.ReLU(), nn.ReLU()]
            self.d = self.a

    named = Named()
    assert (named.a.name, named.b.name) == ("a", "bias")
    assert [layer.name for layer in named.c] == ["c.0", "c.1"]


def test_what_a_call_left_in_a_field_does_not_stop_a_copy() -> None:
    class Remembers(nn.Layer):  # as the textbook's layers do
        def call(self, x: Any) -> Any:
            self.out = np.exp(x)
            return self.out

    layer, x = Remembers(), numbers(2, 3)
    y = layer.forward(x)
    for twin in (copy.deepcopy(layer), layer.astype(np.float32)):
        assert not hasattr(twin, "out")
        np.testing.assert_array_equal(twin.forward(x), y)
    assert tg.check_gradients(layer, x)
    np.testing.assert_array_equal(layer.out.value, y)


def test_a_shared_parameter_is_listed_once_and_gets_both_shares() -> None:
    class Tied(nn.Layer):
        def __init__(self) -> None:
            self.encoder = nn.Affine(numbers(3, 3), numbers(3))
            self.again = self.encoder
            self.w = self.encoder.w

        def call(self, x: Any) -> Any:
            return self.again(self.encoder(x)) @ self.w

    tied, x = Tied(), numbers(2, 3)
    w, b = numbers(3, 3), numbers(3)
    assert list(tied.named_parameters()) == ["encoder.w", "encoder.b"]
    np.testing.assert_allclose(tied.forward(x), ((x @ w + b) @ w + b) @ w, rtol=1e-12)
    dout = numbers(2, 3, seed=1)
    tied.backward(dout)
    first, second = x @ w + b, (x @ w + b) @ w + b
    dsecond = dout @ w.T
    dfirst = dsecond @ w.T
    expected = x.T @ dfirst + first.T @ dsecond + second.T @ dout
    np.testing.assert_allclose(np.array(tied.w.grad), expected, rtol=1e-12)

    for twin in (copy.deepcopy(tied), tied.astype(np.float32)):
        assert twin.w is twin.encoder.w is twin.again.w
        assert twin.w is not tied.w
        assert list(twin.named_parameters()) == ["encoder.w", "encoder.b"]


def test_a_replaced_layer_takes_its_place_among_the_parameters() -> None:
    net = nn.TwoLayerNet(3, 2, 2)
    net.affine2 = nn.Affine(2, 5)
    assert list(net.named_parameters()) == ["w1", "b1", "w2", "b2", "affine2.w", "affine2.b"]
    assert net.predict(numbers(4, 3)).shape == (4, 5)


def test_a_layer_without_call_says_what_to_write() -> None:
    class Empty(nn.Layer):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty has no `call\(self, x\)`"):
        Empty().forward(numbers(2))


def test_the_gradient_of_an_input_that_is_not_used_is_zero() -> None:
    class Ignores(nn.Layer):
        def __init__(self) -> None:
            self.used = tg.Parameter([1.0, 2.0])
            self.unused = tg.Parameter([[3.0]])

        def call(self, x: Any) -> Any:
            return self.used * 3

    layer = Ignores()
    layer.forward(numbers(2, 3))
    np.testing.assert_array_equal(layer.backward([1.0, 10.0]), np.zeros((2, 3)))
    np.testing.assert_array_equal(layer.used.grad, [3.0, 30.0])
    np.testing.assert_array_equal(layer.unused.grad, [[0.0]])


@pytest.mark.parametrize(
    "source",
    [
        "Affine(4, 3)",
        "Affine(4, 3, init=Xavier(std=1.0), seed=5, dtype=np.float64)",
        "Affine(4, 3, init=Normal(std=0.1))",
        "Affine(4, 3, init=He(std=2.0))",
        "ReLU()",
        "Sigmoid()",
        "Tanh()",
        "Dropout(0.25)",
        "Dropout(0.5, seed=3)",
        "SoftmaxWithLoss()",
        "SquaredError()",
        "TwoLayerNet(4, 3, 2)",
        "TwoLayerNet(4, 3, 2, weight_init_std=0.5, seed=9)",
        "Sequential()",
        "Sequential(Affine(4, 3), ReLU(), Dropout(0.5), Affine(3, 3), Affine(3, 3))",
        "Sequential(Affine(4, 4), Affine(4, 4, seed=3), seed=2)",
        "Sequential(Sequential(Affine(4, 4), Tanh()), Affine(4, 4))",
        "Sequential(Affine(4, 1), criterion=SquaredError())",
    ],
)
def test_the_repr_is_the_constructor(source: str) -> None:
    names = {**vars(nn), "np": np}
    layer, again = eval(source, names), eval(repr(eval(source, names)), names)
    assert repr(layer) == repr(again) == source
    for one, other in zip(layer.parameters(), again.parameters(), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one.value, other.value)
