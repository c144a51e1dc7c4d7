"""Optimizers: how the gradients change the parameters."""

from tarograd.optim.optimizer import Optimizer as Optimizer
from tarograd.optim.rules import OPTIMIZERS as OPTIMIZERS
from tarograd.optim.rules import SGD as SGD
from tarograd.optim.rules import AdaGrad as AdaGrad
from tarograd.optim.rules import Adam as Adam
from tarograd.optim.rules import AdamW as AdamW
from tarograd.optim.rules import Momentum as Momentum
from tarograd.optim.rules import Nesterov as Nesterov
from tarograd.optim.rules import RMSProp as RMSProp
from tarograd.optim.schedules import Schedule as Schedule
from tarograd.optim.schedules import constant as constant
from tarograd.optim.schedules import cosine as cosine
from tarograd.optim.schedules import step_decay as step_decay
from tarograd.optim.schedules import warm_up as warm_up
