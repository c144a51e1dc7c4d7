"""`tarograd train`: train a network on images, and keep what it learned."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

from tarograd import data as datasets
from tarograd import nn, optim
from tarograd.cli.options import data_option
from tarograd.data import Dataset
from tarograd.nn import Network
from tarograd.training import History, fit
from tarograd.training.arguments import MAX_STEPS, MAX_THREADS
from tarograd.training.construct import construct
from tarograd.training.store import REPORT, saved_run

MAX_SIZE = 1_000_000  # neurons of a layer
# What may be said when a run goes on.
ALWAYS = {"resume", "steps", "epochs", "threads", "quiet", "explain", "watch", "dense"}
EXAMPLES = """\b
Examples:
  tarograd train
  tarograd train --data mnist --epochs 5 --optimizer adam --lr 0.001
  tarograd train --data mnist --layers 512,512 --out runs/big
  tarograd train --resume runs/digits --steps 20000
  tarograd train --data mnist --watch
"""


@click.command(epilog=EXAMPLES)
@data_option
@click.option(
    "--hidden",
    type=click.IntRange(1, MAX_SIZE),
    metavar="N",
    default=50,
    show_default=True,
    help="Hidden neurons of the two-layer network.",
)
@click.option("--layers", metavar="N,N,…", help="Sizes of several hidden layers instead.")
@click.option(
    "--lr",
    type=float,
    metavar="X",
    help="Learning rate.  [default: 0.1 for sgd, their own for the others]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    metavar="N",
    default=100,
    show_default=True,
    help="Images in a mini-batch.",
)
@click.option(
    "--steps",
    type=click.IntRange(0, MAX_STEPS),
    metavar="N",
    help="Mini-batches of the run.  [default: 10000]",
)
@click.option(
    "--epochs",
    type=click.IntRange(0, MAX_STEPS),
    metavar="N",
    help="The same, counted in epochs.",
)
@click.option(
    "--optimizer",
    type=click.Choice(list(optim.OPTIMIZERS)),
    metavar="NAME",
    default="sgd",
    show_default=True,
    help=f"How the gradients change the weights: {', '.join(optim.OPTIMIZERS)}.",
)
@click.option(
    "--sampling",
    type=click.Choice(["shuffle", "replacement"]),
    metavar="NAME",
    default="shuffle",
    show_default=True,
    help="shuffle, or replacement: each mini-batch drawn afresh, as in the book.",
)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="X",
    default=0.0,
    show_default=True,
    help="Share of the training images held out to choose the best epoch by.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    metavar="N",
    default=0,
    show_default=True,
    help="The same seed gives the same bits.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the run's files go; those of an earlier run there are moved into a folder "
    "earlier-1.  [default: runs/NAME]",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Go on with the run in this folder, as it was started.",
)
@click.option("--eager", is_flag=True, help="Make the steps without machine code.")
@click.option("--dense", is_flag=True, help="Multiply the zeros of the images too: the same bits.")
@click.option("--explain", is_flag=True, help="Say at the end what the machine code consists of.")
@click.option(
    "--watch",
    is_flag=False,
    flag_value=0,
    type=click.IntRange(0, 2**16 - 1),
    metavar="[PORT]",
    help="Show the run in a browser meanwhile.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, MAX_THREADS),
    metavar="N",
    help="Working on a step together.",
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def train(context: click.Context, /, **options: Any) -> None:
    """Train a network on images of digits, or on your own.

    The run's files: the best and the last state of the network, history.csv, curve.png, run.json
    and report.html, the run as a page. A run that was stopped can go on.
    """
    if options["steps"] is not None and options["epochs"] is not None:
        raise click.UsageError("--steps and --epochs: give one of the two")
    if options["resume"] is not None:
        directory = options["resume"]
        directory = directory.parent if directory.is_file() else directory
        history = _resume(context, directory, options)
    else:
        if options["layers"] is not None and _given(context, "hidden"):
            raise click.UsageError("--hidden and --layers: give one of the two")
        directory = options["out"] or Path("runs") / (Path(options["data"]).resolve().stem or "own")
        history = _start(directory, options)
    if options["explain"]:
        click.echo(history.explain())
    shown = shlex.quote(str(directory))
    click.echo(f"best: {history.best}")
    click.echo(f"kept in {shown}; look at its {REPORT}, or try: tarograd predict {shown} IMAGE.png")


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT


def _watch(port: int | None) -> bool | int:
    """What `fit` is told by --watch: without a number any port will do."""
    return port or port is not None


def _compiled(compiled: bool, options: dict[str, Any]) -> bool | Literal["dense"]:
    """What `fit` is told by --eager, or was at the start of the run, and by --dense."""
    return "dense" if compiled and options["dense"] else compiled


def _start(directory: Path, options: dict[str, Any]) -> History:
    """A new run."""
    optimizer = optim.OPTIMIZERS[options["optimizer"]]
    lr = 0.1 if options["lr"] is None and optimizer is optim.SGD else options["lr"]
    recipe = optimizer() if lr is None else optimizer(lr=lr)
    steps = 10000 if options["steps"] is None and options["epochs"] is None else options["steps"]
    data = datasets.load(options["data"], progress=not options["quiet"])
    return fit(
        network_of(data, options),
        data,
        optimizer=recipe,
        batch_size=options["batch_size"],
        steps=steps,
        epochs=options["epochs"],
        seed=options["seed"],
        sampling=options["sampling"],
        validation=options["validation"],
        directory=directory,
        progress=not options["quiet"],
        compiled=_compiled(not options["eager"], options),
        watch=_watch(options["watch"]),
        threads=options["threads"],
    )


def network_of(data: Dataset, options: dict[str, Any]) -> Network:
    """The two-layer network, or one with as many hidden layers as `--layers` names."""
    inputs, seed = math.prod(data.train.images.shape[1:]), options["seed"]
    if options["layers"] is None:
        return nn.TwoLayerNet(inputs, options["hidden"], data.classes, seed=seed)
    try:
        hidden = [int(size) for size in options["layers"].split(",")]
        if not 1 <= min(hidden) <= max(hidden) <= MAX_SIZE:
            raise ValueError
    except ValueError:
        raise click.BadParameter(
            f"{options['layers']!r}: sizes from 1 to {MAX_SIZE}, divided by commas, such as 100,50",
            param_hint="--layers",
        ) from None
    layers: list[nn.Layer] = []
    for before, size in zip([inputs, *hidden], hidden, strict=False):
        layers += [nn.Affine(before, size), nn.ReLU()]
    return nn.Sequential(*layers, nn.Affine(hidden[-1], data.classes), seed=seed)


def _resume(context: click.Context, directory: Path, options: dict[str, Any]) -> History:
    """An earlier run, built again from its settings."""
    for name in options:
        if name not in ALWAYS and _given(context, name):
            flag = "--" + name.replace("_", "-")
            raise click.UsageError(f"--resume goes on as the run was started, without {flag}")
    network, settings, steps = saved_run(directory)
    if options["steps"] is not None:
        steps = options["steps"]
    return fit(
        network,
        datasets.load(settings["data"], progress=not options["quiet"]),
        loss=construct(settings["loss"], 0),
        optimizer=construct(settings["optimizer"], 0),
        batch_size=settings["batch_size"],
        steps=None if options["epochs"] is not None else steps,
        epochs=options["epochs"],
        seed=settings["seed"],
        sampling=settings["sampling"],
        validation=settings["validation"],
        directory=directory,
        resume=True,
        progress=not options["quiet"],
        compiled=_compiled(settings["compiled"], options),
        watch=_watch(options["watch"]),
        threads=options["threads"],
    )
