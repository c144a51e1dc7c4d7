"""The compiler: a function or a step of training as one graph, and as readable NumPy.

Its stages, each a file that shows at its head what comes in and what goes out for two apples:

    trace → rewrite → numpy_source
                    → lower → plan → llvm

What none of them can do is refused with an `Untraceable` error; nothing is compiled into
something else than eager code computes.
"""

from tarograd.compiler.compiled import Compiled as Compiled
from tarograd.compiler.compiled import compile as compile
from tarograd.compiler.numpy_source import numpy_source as numpy_source
from tarograd.compiler.step import Recipe as Recipe
from tarograd.compiler.step import scores_program as scores_program
from tarograd.compiler.step import step_program as step_program
from tarograd.compiler.trace import Untraceable as Untraceable
