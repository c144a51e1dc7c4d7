"""Layers, initializers and networks."""

from tarograd.nn.activation import ReLU as ReLU
from tarograd.nn.activation import Sigmoid as Sigmoid
from tarograd.nn.activation import Tanh as Tanh
from tarograd.nn.initializers import He as He
from tarograd.nn.initializers import Normal as Normal
from tarograd.nn.initializers import Xavier as Xavier
from tarograd.nn.layer import Layer as Layer
from tarograd.nn.linear import Affine as Affine
from tarograd.nn.loss import SoftmaxWithLoss as SoftmaxWithLoss
from tarograd.nn.loss import SquaredError as SquaredError
from tarograd.nn.models import Network as Network
from tarograd.nn.models import Sequential as Sequential
from tarograd.nn.models import TwoLayerNet as TwoLayerNet
from tarograd.nn.regularization import Dropout as Dropout
