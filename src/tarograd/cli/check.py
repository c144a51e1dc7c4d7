"""`tarograd check`: the textbook's gradient check of the two-layer network."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import click
import numpy as np

from tarograd import data as datasets
from tarograd.checking import GradientReport, check_gradients
from tarograd.checking.files import check_file
from tarograd.checking.junit import junit as junit_xml
from tarograd.checkpoint import write_atomically
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
  tarograd check mylayers.py --junit report.xml
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
@click.option("--junit", metavar="XML", help="Write the reports of FILE as JUnit XML too.")
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
    junit: str | None,
    data: str,
    hidden: int,
    steps: int,
    seed: int,
) -> None:
    """Check backpropagation against numerical differentiation.

    With a Python FILE: every class in it that has forward and backward; where a gradient is
    wrong, the report says why. FILE::Name checks one of them. Exits with 1 if one is wrong; what
    cannot be told or not be checked is listed, and skipped in the JUnit file.

    Without: the gradients of a two-layer network and its loss, on 3 images, in float64: first
    with random weights, then again after some training. diff1 is the mean absolute difference,
    diff2 the relative Euclidean one. Exits with 1 if a gradient is wrong.
    """
    if file is not None:
        found = _checked(file, shape, at, mode, seed)
        if junit is not None:
            write_atomically(junit, junit_xml(file, found).encode())
        click.echo(_as_json(found) if as_json else _as_text(found))
        wrong = any(not isinstance(r, str) and r.verdict == "wrong" for _, r in found)
        sys.exit(int(wrong))
    if shape or at or as_json or junit:
        raise click.UsageError("--shape, --at, --json and --junit go with a FILE of layers")
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


def _checked(
    file: str, shape: str | None, at: str | None, mode: str, seed: int
) -> list[tuple[str, GradientReport | str]]:
    """The layers of a file with their reports."""
    name, _, only = file.partition("::")
    try:
        lengths = tuple(int(n) for n in shape.split(",")) if shape else None
    except ValueError:
        raise click.UsageError(f"--shape {shape}: whole numbers, divided by commas") from None
    arrays = _arrays(at) if at is not None else None
    found = list(check_file(Path(name), seed, mode, lengths, arrays, only or None))
    if not found:
        raise ValueError(f"{file}: there is no class with forward and backward in it")
    return found


def _arrays(path: str) -> dict[str, Any]:
    """The arrays of an .npz file, in their order."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        with np.load(path, allow_pickle=False) as held:
            return {key: held[key] for key in held.files}
    except (ValueError, OSError, AttributeError, BadZipFile) as error:
        raise ValueError(f"{path}: not an .npz file of arrays; np.savez writes them") from error


def _as_json(found: list[tuple[str, GradientReport | str]]) -> str:
    plain = {n: json.loads(r.to_json()) if not isinstance(r, str) else r for n, r in found}
    return json.dumps(plain, indent=2, ensure_ascii=False)


def _as_text(found: list[tuple[str, GradientReport | str]]) -> str:
    """A line for each layer, and the reports of those that are not right."""
    width = max(len(n) for n, _ in found)
    lines = []
    for n, r in found:
        cause = "" if isinstance(r, str) or not r.causes else r.causes[0].name
        verdict = f"not checked: {r}" if isinstance(r, str) else r.verdict
        lines.append(f"{n:<{width}}  {verdict}  {cause}".rstrip())
    reports = [str(r) for _, r in found if not isinstance(r, str) and r.verdict != "right"]
    return "\n\n".join(["\n".join(lines), *reports])
