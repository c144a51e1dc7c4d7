"""`tarograd draw`: the picture of a saved network."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from tarograd import drawing
from tarograd.cli.pictures import show
from tarograd.cli.predict import read_image
from tarograd.functions import one_hot
from tarograd.graph import context
from tarograd.nn import SquaredError
from tarograd.training import load_network

EXAMPLES = """\b
Examples:
  tarograd draw runs/digits
  tarograd draw runs/digits seven.png --label 7 -o seven.html
  tarograd draw runs/mnist/best.safetensors --depth 2 -o inside.svg
"""


@click.command(epilog=EXAMPLES)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path), required=False)
@click.option(
    "--label",
    type=click.IntRange(0),
    metavar="N",
    help="What is in the image.  [default: what the network takes it for]",
)
@click.option(
    "--depth",
    type=click.IntRange(0, 9),
    metavar="N",
    default=1,
    show_default=True,
    help="Levels of boxes that are open: 0 the network as one, 1 its layers, 2 their insides.",
)
@click.option(
    "-o", "--output", metavar="FILE", help="Save the picture as .svg .html .json .dot .png."
)
@click.option("--ascii", is_flag=True, help="Draw with plain ASCII characters.")
@click.option("--wide", is_flag=True, help="For a terminal that gives × and ─ two cells.")
def draw(
    model: Path,
    image: Path | None,
    label: int | None,
    depth: int,
    output: str | None,
    ascii: bool,
    wide: bool,
) -> None:
    """Draw a saved network, with values and derivatives.

    The values are those for IMAGE, the derivatives those of the loss. MODEL is the directory of a
    run or a safetensors file. IMAGE is a PNG or NPY file, as for `tarograd predict`; without one
    the network is drawn for noise, which shows its form.
    """
    network = load_network(model)
    if not network.parameters():
        raise click.UsageError(f"{model}: {network!r} has no weights")
    inputs = network.parameters()[0].shape[0]
    if image is None:
        x = np.random.default_rng(0).random((1, inputs))
    else:
        x = read_image(image, inputs, network)[0].reshape(1, -1)
    x = x.astype(network.dtype)
    with np.errstate(all="ignore"):  # of weights that are not finite: the picture shows them
        scores = network.predict(x)
        classes = scores.shape[1]
        own = int(np.nan_to_num(scores[0]).argmax())
        if label is not None and label >= classes:
            raise click.UsageError(f"--label {label}: the classes are 0 to {classes - 1}")
        target = np.array([own if label is None else label])
        if isinstance(network.criterion, SquaredError):
            target = one_hot(target, classes).astype(network.dtype)
        with context(seed=0, step=0):
            picture = drawing.draw(network, x, target, depth=depth)
    show(picture, output, ascii, wide)
    given = "noise, since no IMAGE was given" if image is None else click.format_filename(image)
    whose = "the network's own answer" if label is None else "as given"
    click.echo(f"{network!r} for {given}; label {own if label is None else label}, {whose}")
