"""tarograd: deep learning as a computational graph that can be seen, trusted and run.

The public names, in reading order: what is computed, how it is differentiated, how that is seen
and checked, and how it learns. Whole packages that a program may not use are imported when one of
their names is first asked for, so that `import tarograd` costs little more than NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tarograd import data as data
from tarograd import graph as graph
from tarograd import nn as nn
from tarograd import optim as optim
from tarograd.derivatives import grad as grad
from tarograd.derivatives import value_and_grad as value_and_grad
from tarograd.functions import affine as affine
from tarograd.functions import dropout as dropout
from tarograd.functions import log_softmax as log_softmax
from tarograd.functions import logsumexp as logsumexp
from tarograd.functions import one_hot as one_hot
from tarograd.functions import relu as relu
from tarograd.functions import sigmoid as sigmoid
from tarograd.functions import softmax as softmax
from tarograd.functions import softmax_with_loss as softmax_with_loss
from tarograd.functions import squared_error as squared_error
from tarograd.functions import stop_gradient as stop_gradient
from tarograd.functions import tanh as tanh
from tarograd.graph import Primitive as Primitive
from tarograd.graph import context as context
from tarograd.tensor import Parameter as Parameter
from tarograd.tensor import Tensor as Tensor
from tarograd.version import __version__ as __version__

if TYPE_CHECKING:
    from tarograd.checking import check_gradients as check_gradients
    from tarograd.checking import numerical_gradient as numerical_gradient
    from tarograd.compiler import compile as compile
    from tarograd.drawing import Picture as Picture
    from tarograd.drawing import draw as draw
    from tarograd.training.fit import fit as fit
    from tarograd.training.history import History as History
    from tarograd.training.store import load_network as load_network
    from tarograd.training.store import save_network as save_network

LATER = {
    "checking": ("check_gradients", "numerical_gradient"),
    "checkpoint": (),
    "compiler": ("compile",),
    "drawing": ("Picture", "draw"),
    "training": ("History", "fit", "load_network", "save_network"),
}


def __getattr__(name: str) -> Any:
    for package, names in LATER.items():
        if name == package or name in names:
            module = import_module(f"tarograd.{package}")
            return module if name == package else getattr(module, name)
    raise AttributeError(f"tarograd has no {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *LATER, *(name for names in LATER.values() for name in names)})
