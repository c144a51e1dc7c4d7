"""The update rules, as the papers and the textbook write them.

Each is a pure function of plain NumPy that writes nothing in place: on arrays it computes, on
Tensors it is recorded. w is a parameter, g the gradient of the loss with respect to it, lr the
learning rate and t the number of the step, counted from 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tarograd.optim.optimizer import Optimizer, State, Update, fitting
from tarograd.optim.schedules import Schedule


@dataclass(kw_only=True, eq=False, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent: w ← w − lr g.

    Source: H. Robbins, S. Monro, "A stochastic approximation method", 1951.

    Example:
        >>> SGD(lr=0.1).update(np.array([1.0, 2.0]), np.array([10.0, 0.0]), {}, lr=0.1, step=1)
        (array([0., 2.]), {})
    """

    def rule(self, w: Any, g: Any, state: State, lr: Any, step: Any) -> Update:
        """A step against the gradient."""
        return w - lr * g, {}


@dataclass(kw_only=True, eq=False, repr=False)
class Momentum(Optimizer):
    """Steps with inertia: v ← momentum v + g, w ← w − lr v.

    The textbook's v is −lr times this one: the same weights while lr stays, but here a new
    learning rate also holds for the steps already under way, as in PyTorch.
    Source: B. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.

    Args:
        momentum: what is kept of the last velocity v, 0 ≤ momentum < 1.

    Example:
        >>> w, state = np.array([1.0]), {"v": np.array([1.0])}
        >>> Momentum(momentum=0.5).update(w, np.array([2.0]), state, lr=0.1, step=2)
        (array([0.75]), {'v': array([2.5])})
    """

    state_names: ClassVar[tuple[str, ...]] = ("v",)

    momentum: float = 0.9

    def rule(self, w: Any, g: Any, state: State, lr: Any, step: Any) -> Update:
        """The gradient changes the velocity, the velocity the parameter."""
        v = self.momentum * state["v"] + g
        return w - lr * v, {"v": v}


@dataclass(kw_only=True, eq=False, repr=False)
class Nesterov(Momentum):
    """Momentum that looks ahead: v ← momentum v + g, w ← w − lr (g + momentum v).

    Source: Y. Nesterov, 1983, with the gradient taken where the weights are, as in Y. Bengio,
    N. Boulanger-Lewandowski, R. Pascanu, "Advances in optimizing recurrent networks", 2013.

    Example:
        >>> w, state = np.array([1.0]), {"v": np.array([1.0])}
        >>> Nesterov(momentum=0.5).update(w, np.array([2.0]), state, lr=0.1, step=2)
        (array([0.675]), {'v': array([2.5])})
    """

    def rule(self, w: Any, g: Any, state: State, lr: Any, step: Any) -> Update:
        """As if the next step's inertia had been added already."""
        v = self.momentum * state["v"] + g
        return w - lr * (g + self.momentum * v), {"v": v}


@dataclass(kw_only=True, eq=False, repr=False)
class AdaGrad(Optimizer):
    """Shorter steps where the gradients were large: h ← h + g², w ← w − lr g / (√h + eps).

    Source: J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", 2011.

    Args:
        eps: keeps the divisor from 0.

    Example:
        >>> w, state = np.array([1.0]), {"h": np.array([9.0])}
        >>> AdaGrad(eps=0).update(w, np.array([4.0]), state, lr=0.5, step=2)
        (array([0.6]), {'h': array([25.])})
    """

    state_names: ClassVar[tuple[str, ...]] = ("h",)

    eps: float = 1e-10

    def rule(self, w: Any, g: Any, state: State, lr: Any, step: Any) -> Update:
        """Each element has a step length of its own, which can only shrink."""
        h = state["h"] + g * g
        return w - lr * g / (np.sqrt(h) + self.eps), {"h": h}


@dataclass(kw_only=True, eq=False, repr=False)
class RMSProp(Optimizer):
    """AdaGrad that forgets: h ← decay h + (1 − decay) g², w ← w − lr g / (√h + eps).

    Source: T. Tieleman, G. Hinton, Coursera "Neural networks for machine learning", lecture 6.5,
    2012.

    Args:
        decay: what is kept of the average h, 0 ≤ decay < 1; the weight α in PyTorch.
        eps: keeps the divisor from 0.

    Example:
        >>> w, state = np.array([1.0]), {"h": np.array([34.0])}
        >>> RMSProp(decay=0.5, eps=0).update(w, np.array([4.0]), state, lr=0.5, step=2)
        (array([0.6]), {'h': array([25.])})
    """

    state_names: ClassVar[tuple[str, ...]] = ("h",)

    decay: float = 0.99
    eps: float = 1e-8

    def rule(self, w: Any, g: Any, state: State, lr: Any, step: Any) -> Update:
        """The step's length follows the recent gradients' root mean square."""
        h = self.decay * state["h"] + (1 - self.decay) * (g * g)
        return w - lr * g / (np.sqrt(h) + self.eps), {"h": h}


@dataclass(kw_only=True, eq=False, repr=False)
class Adam(Optimizer):
    """Momentum and RMSProp, both corrected for their start at 0.

    m ← beta1 m + (1 − beta1) g, v ← beta2 v + (1 − beta2) g²,
    w ← w − lr m̂ / (√v̂ + eps) with m̂ = m / (1 − beta1^t), v̂ = v / (1 − beta2^t). What corrects
    them is multiplied into lr and eps, which are two numbers instead of two arrays.
    Source: D. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1 and
    the remark behind it.

    Args:
        beta1: what is kept of the average gradient m, 0 ≤ beta1 < 1.
        beta2: what is kept of the average squared gradient v, 0 ≤ beta2 < 1.
        eps: keeps the divisor from 0.

    Example:
        >>> w, adam = np.array([1.0, 1.0]), Adam(eps=0)
        >>> adam.update(w, np.array([7.0, -0.1]), adam.initial_state(w), lr=0.25, step=1)[0]
        array([0.75, 1.25])
    """

    state_names: ClassVar[tuple[str, ...]] = ("m", "v")

    lr: float | Schedule = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def rule(self, w: Any, g: Any, state: State, lr: Any, step: Any) -> Update:
        """The two averages, then a step of about lr."""
        m = self.beta1 * state["m"] + (1 - self.beta1) * g
        v = self.beta2 * state["v"] + (1 - self.beta2) * (g * g)
        root = np.sqrt(1 - self.beta2**step)  # √v̂ is √v / root
        rate = lr * fitting(root / (1 - self.beta1**step), w)
        eps = fitting(self.eps * root, w)
        return w - rate * m / (np.sqrt(v) + eps), {"m": m, "v": v}


@dataclass(kw_only=True, eq=False, repr=False)
class AdamW(Adam):
    """Adam whose weight decay stands beside the gradient: w also loses lr weight_decay w.

    Source: I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.

    Example:
        >>> w, adam = np.array([2.0]), AdamW(weight_decay=0.5)
        >>> adam.update(w, np.array([0.0]), adam.initial_state(w), lr=0.1, step=1)[0]
        array([1.9])
    """

    weight_decay: float = 0.01

    def update(self, w: Any, g: Any, state: State, lr: Any, step: Any) -> Update:
        """As `Optimizer.update`; the averages see the gradient of the loss alone."""
        lr = fitting(lr, w)
        new_w, new_state = self.rule(w, g, state, lr, step)
        if self.weight_decay:
            new_w = new_w - lr * (self.weight_decay * w)
        return new_w, new_state


# By the names of the command line.
OPTIMIZERS: Mapping[str, type[Optimizer]] = {
    kind.__name__.lower(): kind for kind in (SGD, Momentum, Nesterov, AdaGrad, RMSProp, Adam, AdamW)
}
