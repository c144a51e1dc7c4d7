"""Networks: layers in a row, and the textbook's two-layer network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tarograd.graph import Array, context
from tarograd.nn.activation import ReLU
from tarograd.nn.initializers import Normal
from tarograd.nn.layer import Layer
from tarograd.nn.linear import Affine
from tarograd.nn.loss import SoftmaxWithLoss
from tarograd.tensor import Parameter, Tensor, constant

CHUNK = 400  # rows that `predict` computes at a time: as many as stay in the processor's cache


class Network(Layer):
    """A layer that ends in scores for classes, with a loss: what can be trained and asked.

    Args:
        criterion: the loss layer, by default SoftmaxWithLoss.

    Attributes:
        pixel_max: the brightness that counts as 1 when images come as uint8. `tg.fit` sets it
            to that of its data.
    """

    pixel_max: int = 255
    _criterion: Layer | None = None

    def __init__(self, criterion: Layer | None = None) -> None:
        self._criterion = criterion

    @property
    def criterion(self) -> Layer:
        """The loss layer."""
        return self._criterion or SoftmaxWithLoss()

    def read(self, x: Any) -> Any:
        """Images of uint8 as numbers from 0 to 1, in the dtype of the parameters."""
        array = x if isinstance(x, Tensor) else np.asarray(x)
        if array.dtype != np.uint8:
            return super().read(array)
        scaled = array.astype(self.dtype)
        if isinstance(scaled, Tensor):
            return scaled / self.pixel_max
        scaled /= self.pixel_max
        scaled.flags.writeable = False
        return scaled

    def __call__(self, *inputs: Any) -> Any:
        """Compute and record; an array as the first input is read like that of `predict`."""
        first = [self._input(x) for x in inputs[:1]]
        return super().__call__(*first, *inputs[1:])

    def _input(self, x: Any) -> Tensor:
        """What the network is given, as a Tensor; an array is called x in drawings."""
        tensor = constant(self.read(x))
        if not isinstance(x, Tensor):
            tensor.name = "x"
        return tensor

    def objective(self, x: Any, t: Any) -> Tensor:
        """The loss of the scores for `x` against the targets `t`, recorded."""
        loss: Tensor = self.criterion(self(x), t)
        return loss

    def predict(self, x: ArrayLike) -> Array:
        """The scores, without Dropout and without recording.

        Args:
            x: a batch of inputs, or one row; uint8 images are scaled by `pixel_max`.

        Returns:
            shape (n, classes); (classes,) for one row.
        """
        rows = np.asarray(x)
        chunks = range(0, len(rows), CHUNK) if rows.ndim > 1 else []
        parts = [rows[i : i + CHUNK] for i in chunks] or [rows]
        with context(recording=False, training=False):
            scores = [self(part).value for part in parts]
        return np.concatenate(scores) if len(scores) > 1 else np.asarray(scores[0])

    def loss(self, x: ArrayLike, t: ArrayLike) -> float:
        """The loss for inputs `x` and targets `t`."""
        with context(recording=False):
            return float(self.objective(x, np.asarray(t)))

    def accuracy(self, x: ArrayLike, t: ArrayLike) -> float:
        """The share of rows whose highest score is the target's.

        Args:
            x: inputs, n of them.
            t: labels (n,) or one-hot rows (n, classes).

        Raises:
            ValueError: if the shape of `t` is another.
        """
        scores, targets = self.predict(x), np.asarray(t)
        if scores.ndim != 2 or targets.shape not in (scores.shape, scores.shape[:1]):
            raise ValueError(
                f"accuracy: targets of shape {targets.shape} for scores of shape {scores.shape}: "
                "give labels of shape (n,) or one-hot rows of shape (n, classes)"
            )
        labels = targets if targets.ndim == 1 else targets.argmax(axis=1)
        return float(np.mean(scores.argmax(axis=1) == labels))

    def gradient(self, x: ArrayLike, t: ArrayLike) -> dict[str, Array]:
        """The gradient of the loss by backpropagation, for each parameter by its name.

        It is also left in the `.grad` of the parameters, in place of earlier ones.
        """
        named = self.named_parameters()
        slopes = self._slopes(self.objective(x, np.asarray(t)), list(named.values()))
        for parameter, slope in zip(named.values(), slopes, strict=True):
            parameter.grad = slope
        return dict(zip(named, slopes, strict=True))

    def numerical_gradient(self, x: ArrayLike, t: ArrayLike) -> dict[str, Array]:
        """The same gradient by numerical differentiation, slowly: on a copy, in float64."""
        from tarograd.checking.numeric import numerical_gradient

        net = self.astype(np.float64)
        rows = net.read(x).astype(np.float64)
        with context(seed=0, step=0):
            return {
                name: numerical_gradient(lambda _: net.loss(rows, t), parameter)
                for name, parameter in net.named_parameters().items()
            }


class Params(Mapping[str, Array]):
    """The parameters' arrays by name, each handed out as a copy and set by assignment.

    So the textbook's `params[key] -= lr * grads[key]` changes the network, and so does
    `params[key] = params[key] - lr * grads[key]`. To displace a parameter in place, as
    `tg.numerical_gradient` does, give it the Parameter itself: `net.w1`, not `net.params["w1"]`.
    """

    def __init__(self, parameters: dict[str, Parameter]) -> None:
        self._parameters = parameters

    def __getitem__(self, name: str) -> Array:
        return self._parameters[name].value.copy()

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        self._parameters[name].value = np.asarray(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)


class Sequential(Network):
    """Layers one after the other.

    They are named by kind and number, as in the textbook: `affine1`, `relu1`, `affine2`.

    Args:
        *layers: the layers, in order.
        criterion: the loss layer, by default SoftmaxWithLoss.
        seed: which initial weights are drawn, for each layer by its name; 0 if left out.

    Raises:
        TypeError: for something that is not a layer.

    Example:
        >>> net = Sequential(Affine(4, 3), ReLU(), Affine(3, 2))
        >>> list(net.named_parameters())
        ['affine1.w', 'affine1.b', 'affine2.w', 'affine2.b']
        >>> net.predict(np.ones((5, 4))).shape
        (5, 2)
    """

    def __init__(
        self, *layers: Layer, criterion: Layer | None = None, seed: int | None = None
    ) -> None:
        super().__init__(criterion)
        self.seed = seed
        self.layers: dict[str, Layer] = {}
        counts: Counter[str] = Counter()
        for layer in layers:
            if not isinstance(layer, Layer):
                raise TypeError(
                    f"Sequential: {layer!r} is not a layer: give layers one after the other, "
                    "Sequential(Affine(4, 3), ReLU()), or a list with a star, Sequential(*layers)"
                )
            kind = type(layer).__name__.lower()
            counts[kind] += 1
            name = f"{kind}{counts[kind]}"
            layer.name = layer.name or name
            self.layers[name] = layer
        super().initialize(seed or 0)

    def initialize(self, seed: int, path: str = "") -> None:
        """Draw the weights of the layers anew, unless the network was given a seed of its own."""
        if self.seed is None:
            super().initialize(seed, path)

    def fields(self) -> Iterator[tuple[str, Any]]:
        """The layers by their names."""
        yield from self.layers.items()

    def call(self, x: Any) -> Any:
        """What the first layer takes; gives what the last one gives."""
        for layer in self.layers.values():
            x = layer(x)
        return x

    def __repr__(self) -> str:
        parts = [repr(layer) for layer in self.layers.values()]
        if repr(self.criterion) != repr(SoftmaxWithLoss()):
            parts.append(f"criterion={self.criterion!r}")
        parts += [] if self.seed is None else [f"seed={self.seed}"]
        return f"Sequential({', '.join(parts)})"


class TwoLayerNet(Network):
    """The textbook's network: Affine, ReLU, Affine, and Softmax-with-loss at its end.

    Args:
        input_size: the number of inputs, such as 784 pixels.
        hidden_size: the number of hidden neurons.
        output_size: the number of classes.
        weight_init_std: the standard deviation of the initial weights.
        seed: which initial weights are drawn.

    Attributes:
        w1, b1, w2, b2: the parameters; float32.

    Raises:
        ValueError: if a size is not a whole number from 1 on.

    Example:
        >>> net = TwoLayerNet(input_size=4, hidden_size=3, output_size=2)
        >>> x, t = np.ones((5, 4)), np.array([0, 1, 0, 1, 1])
        >>> {name: g.shape for name, g in net.gradient(x, t).items()}
        {'w1': (4, 3), 'b1': (3,), 'w2': (3, 2), 'b2': (2,)}
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float = 0.01,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._arguments = (input_size, hidden_size, output_size, weight_init_std, seed)
        for size in (input_size, hidden_size, output_size):
            if not isinstance(size, int | np.integer) or size < 1:
                raise ValueError(f"{self!r}: every size has to be a whole number, at least 1")
        init = Normal(weight_init_std)
        self.w1 = Parameter(init((input_size, hidden_size), seed, "w1"))
        self.b1 = Parameter(np.zeros(hidden_size, np.float32))
        self.w2 = Parameter(init((hidden_size, output_size), seed, "w2"))
        self.b2 = Parameter(np.zeros(output_size, np.float32))
        self.affine1 = Affine(self.w1, self.b1)
        self.relu1 = ReLU()
        self.affine2 = Affine(self.w2, self.b2)

    def call(self, x: Any) -> Any:
        """Shape (n, input_size); gives scores (n, output_size)."""
        return self.affine2(self.relu1(self.affine1(x)))

    @property
    def params(self) -> Params:
        """The parameters' arrays by name: `net.params["w1"] -= lr * grads["w1"]`."""
        return Params(self.named_parameters())

    def __repr__(self) -> str:
        inputs, hidden, outputs, std, seed = self._arguments
        more = "" if std == 0.01 else f", weight_init_std={std}"
        more += f", seed={seed}" if seed else ""
        return f"TwoLayerNet({inputs}, {hidden}, {outputs}{more})"
