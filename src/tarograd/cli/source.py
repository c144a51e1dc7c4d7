"""`tarograd source`: the training step as readable NumPy."""

from __future__ import annotations

import math
from typing import Any

import click

from tarograd import data as datasets
from tarograd import optim
from tarograd.cli.options import data_option
from tarograd.cli.train import network_of
from tarograd.compiler import Recipe, numpy_source, step_program
from tarograd.compiler.lower import lower
from tarograd.compiler.plan import Plan
from tarograd.compiler.report import report

EXAMPLES = """\b
Examples:
  tarograd source
  tarograd source --data mnist --layers 100,50 --optimizer adam
  tarograd source --explain
"""


@click.command(epilog=EXAMPLES)
@data_option
@click.option("--hidden", type=click.IntRange(1), default=50, show_default=True)
@click.option("--layers", metavar="N,N,…", help="Sizes of several hidden layers instead.")
@click.option("--batch-size", type=click.IntRange(1), default=100, show_default=True)
@click.option("--explain", is_flag=True, help="The kernels of the machine code instead.")
@click.option("--optimizer", type=click.Choice(list(optim.OPTIMIZERS)), default="sgd")
def source(data: str, batch_size: int, optimizer: str, explain: bool, **options: Any) -> None:
    """Print what one step of `tarograd train` computes, as NumPy."""
    dataset = datasets.load(data)
    network = network_of(dataset, {"seed": 0, **options})
    network.pixel_max = dataset.pixel_max
    images = dataset.train.images
    recipe = Recipe(
        network,
        network.criterion,
        optim.OPTIMIZERS[optimizer](network.parameters()),
        images.reshape(len(images), math.prod(images.shape[1:])),
        dataset.train.labels,
    )
    program = step_program(recipe, batch_size)
    if explain:
        from tarograd.compiler.llvm.native import host

        plan = Plan(lower(program), host().bits // 32, ("images", "labels"))
        click.echo(report(plan))
    else:
        click.echo(numpy_source(program)[0])
