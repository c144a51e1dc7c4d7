"""`tarograd check`: the textbook's gradient check of the two-layer network."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import click
import numpy as np

from tarograd import data as datasets
from tarograd.checking import check_gradients
from tarograd.checking.files import check_file
from tarograd.cli.options import data_option
from tarograd.nn import TwoLayerNet
from tarograd.training import fit
from tarograd.training.arguments import MAX_STEPS

SAMPLES = 3
EXAMPLES = """\b
Examples:
  tarograd check
  tarograd check --hidden 20 --steps 2000 --seed 1
  tarograd check mylayers.py
  tarograd check mylayers.py::Conv --shape 2,3,7,6
"""


@click.command(epilog=EXAMPLES)
@click.argument("file", required=False)
@click.option("--shape", metavar="2,3,5,7", help="Of the input of the layers in FILE.")
@click.option("--at", metavar="CASE.NPZ", help="Arrays for forward of the layers in FILE.")
@click.option(
    "--mode",
    type=click.Choice(["quick", "default", "thorough", "contract"]),
    default="default",
    show_default=True,
    help="How thoroughly the layers in FILE are checked.",
)
@click.option("--json", "as_json", is_flag=True, help="The reports of FILE as JSON.")
@data_option
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
def check(
    file: str | None,
    shape: str | None,
    at: str | None,
    mode: str,
    as_json: bool,
    data: str,
    hidden: int,
    steps: int,
    seed: int,
) -> None:
    """Check backpropagation against numerical differentiation.

    With a Python FILE: every class in it that has forward and backward; where a gradient is
    wrong, the report says why. FILE::Name checks one of them.

    Without: the gradients of a two-layer network and its loss, on 3 images, in float64: first
    with random weights, then again after some training. diff1 is the mean absolute difference,
    diff2 the relative Euclidean one. Exits with 1 if a gradient is wrong.
    """
    if file is not None:
        sys.exit(_check_file(file, shape, at, mode, seed, as_json))
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


def _check_file(
    file: str, shape: str | None, at: str | None, mode: str, seed: int, as_json: bool
) -> int:
    """Check the layers of a file; 1 if one is wrong."""
    name, _, only = file.partition("::")
    try:
        lengths = tuple(int(n) for n in shape.split(",")) if shape else None
    except ValueError:
        raise click.UsageError(f"--shape {shape}: whole numbers, divided by commas") from None
    arrays = None
    if at is not None:
        with np.load(at, allow_pickle=False) as held:
            arrays = {key: held[key] for key in held.files}
    found = list(check_file(Path(name), seed, mode, lengths, arrays, only or None))
    if not found:
        raise ValueError(f"{file}: there is no class with forward and backward in it")
    if as_json:
        plain = {n: json.loads(r.to_json()) if not isinstance(r, str) else r for n, r in found}
        click.echo(json.dumps(plain, indent=2, ensure_ascii=False))
        return int(any(not isinstance(r, str) and r.verdict == "wrong" for _, r in found))
    width = max(len(n) for n, _ in found)
    for n, r in found:
        cause = "" if isinstance(r, str) or not r.causes else r.causes[0].name
        verdict = f"not checked: {r}" if isinstance(r, str) else r.verdict
        click.echo(f"{n:<{width}}  {verdict}  {cause}".rstrip())
    for _, r in found:
        if not isinstance(r, str) and r.verdict != "right":
            click.echo(f"\n{r}")
    return int(any(not isinstance(r, str) and r.verdict == "wrong" for _, r in found))
