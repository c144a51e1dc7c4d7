"""What `fit` is given, looked at before anything happens."""

from __future__ import annotations

import os
from numbers import Real
from typing import Any

import numpy as np

from tarograd.data import Batches, Dataset
from tarograd.nn import Layer, Network
from tarograd.optim import Optimizer

MAX_STEPS = 10**10  # of a run; their losses alone are 80 GB
MAX_THREADS = 256


def check_types(
    network: Any,
    data: Any,
    loss: Any,
    optimizer: Any,
    directory: Any,
    resume: Any,
    compiled: Any,
    watch: Any,
) -> None:
    """Refuse what is not the kind of thing that an argument of `fit` has to be."""
    for name, value, kind, hint in (
        ("network", network, Network, "tg.nn.Sequential(...) or a subclass of tg.nn.Network"),
        ("data", data, Dataset, "what tg.data.load gives, or a tg.data.Dataset of your arrays,"),
        ("loss", loss, Layer | None, "a layer, such as tg.nn.SoftmaxWithLoss(),"),
        ("optimizer", optimizer, Optimizer | None, "an optimizer, such as tg.optim.SGD(lr=0.1),"),
        ("directory", directory, str | os.PathLike | None, "the path of a folder"),
        ("resume", resume, bool, "True or False, and the folder as directory=,"),
        ("compiled", compiled == "dense" or compiled, bool, 'True, False or "dense"'),
        ("watch", watch, bool | int, "True, or the number of a port,"),
    ):
        if not isinstance(value, kind):
            given = f"the class {value.__name__}" if isinstance(value, type) else repr(value)
            given = given if len(given) <= 100 else f"a {type(value).__name__}"
            raise TypeError(f"fit: {name}={given}: {hint} is needed")


def check_numbers(seed: Any, validation: Any, watch: Any, threads: Any) -> None:
    """Refuse numbers that are out of range."""
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not (whole and 0 <= seed < 2**64):
        raise ValueError(f"seed={seed!r}: a whole number from 0 to 2**64 - 1 is needed")
    if not isinstance(validation, Real) or isinstance(validation, bool):
        raise ValueError(f"validation={validation!r}: a share is needed, 0.1 for a tenth")
    if not 0 <= watch < 2**16:
        raise ValueError(f"watch={watch!r}: True, or the number of a port below {2**16}, is needed")
    whole = isinstance(threads, int) and not isinstance(threads, bool)
    if threads is not None and not (whole and 1 <= threads <= MAX_THREADS):
        raise ValueError(f"threads={threads!r}: a whole number from 1 to {MAX_THREADS} is needed")


def total_steps(batches: Batches, steps: int | None, epochs: int | None) -> int:
    """The number of steps of the whole run."""
    if steps is not None and epochs is not None:
        raise ValueError(f"steps={steps} and epochs={epochs}: give one of the two")
    for name, number in (("steps", steps), ("epochs", epochs)):
        whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if number is not None and not (whole and 0 <= number <= MAX_STEPS):
            raise ValueError(f"{name}={number!r}: a whole number from 0 to {MAX_STEPS} is needed")
    if steps is not None:
        return int(steps)
    return (10 if epochs is None else int(epochs)) * batches.steps_per_epoch
