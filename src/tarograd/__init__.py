"""tarograd: deep learning as a computational graph that can be seen, trusted and run.

The public names, in reading order: what is computed, how it is differentiated, how that is
checked, and how it learns.
"""

from tarograd import data as data
from tarograd import graph as graph
from tarograd import nn as nn
from tarograd import optim as optim
from tarograd.checking import check_gradients as check_gradients
from tarograd.checking import numerical_gradient as numerical_gradient
from tarograd.compiler import compile as compile
from tarograd.derivatives import grad as grad
from tarograd.derivatives import value_and_grad as value_and_grad
from tarograd.drawing import Picture as Picture
from tarograd.drawing import draw as draw
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
from tarograd.training import History as History
from tarograd.training import fit as fit
from tarograd.training import load_network as load_network
from tarograd.training import save_network as save_network
from tarograd.version import __version__ as __version__
