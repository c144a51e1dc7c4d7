"""tarograd: deep learning as a computational graph that can be seen, trusted and run."""

from tarograd import graph as graph
from tarograd.derivatives import grad as grad
from tarograd.derivatives import value_and_grad as value_and_grad
from tarograd.graph import Primitive as Primitive
from tarograd.graph import context as context
from tarograd.tensor import Parameter as Parameter
from tarograd.tensor import Tensor as Tensor
