"""Check backward passes against numerical differentiation."""

from tarograd.checking.numeric import numerical_gradient as numerical_gradient
from tarograd.checking.report import GradientReport as GradientReport
from tarograd.checking.report import check_gradients as check_gradients
