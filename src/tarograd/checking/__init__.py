"""Check backward passes against numerical differentiation, and name what is wrong with them."""

from tarograd.checking.api import check_gradients as check_gradients
from tarograd.checking.numeric import numerical_gradient as numerical_gradient
from tarograd.checking.report import GradientReport as GradientReport
