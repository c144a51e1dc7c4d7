"""`tarograd check`: the textbook's gradient check of the two-layer network."""

from __future__ import annotations

import math
import sys

import click

from tarograd import data as datasets
from tarograd.checking import check_gradients
from tarograd.nn import TwoLayerNet
from tarograd.training import fit
from tarograd.training.fit import MAX_STEPS

SAMPLES = 3
EXAMPLES = """\b
Examples:
  tarograd check
  tarograd check --hidden 20 --steps 2000 --seed 1
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--data",
    default="digits",
    metavar="NAME|PATH",
    show_default=True,
    help="digits, mnist, or your own folder of IDX files or NPZ file.",
)
@click.option(
    "--hidden",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=50,
    show_default=True,
    help="Hidden neurons of the network.",
)
@click.option(
    "--steps",
    type=click.IntRange(0, MAX_STEPS),
    metavar="N",
    default=500,
    show_default=True,
    help="Training steps before the second check.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    metavar="N",
    default=0,
    show_default=True,
    help="Of the weights, the mini-batches and the upstream gradient.",
)
def check(data: str, hidden: int, steps: int, seed: int) -> None:
    """Check backpropagation against numerical differentiation.

    The gradients of a two-layer network and its loss, on 3 images, in float64: first with random
    weights, then again after some training. diff1 is the mean absolute difference, diff2 the
    relative Euclidean one. Exits with 1 if a diff2 is 1e-7 or more.
    """
    images = datasets.load(data)
    net = TwoLayerNet(math.prod(images.train.images.shape[1:]), hidden, images.classes, seed=seed)
    net.pixel_max = images.pixel_max
    click.echo("With random weights:")
    reports = [check_gradients(net, *images.train[:SAMPLES], seed=seed)]
    click.echo(reports[0])
    history = fit(net, images, steps=steps, seed=seed, progress=False)
    accuracy = history.epochs[-1].test_accuracy
    click.echo(f"\nAfter {steps} training steps (test accuracy {accuracy:.4f}):")
    reports.append(check_gradients(net, *images.train[:SAMPLES], seed=seed))
    click.echo(reports[1])
    sys.exit(0 if all(reports) else 1)
