"""`tarograd predict`: which digit is in an image?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click
import numpy as np

from tarograd.functions import softmax
from tarograd.graph import Array
from tarograd.nn import Network
from tarograd.training import load_network

SHADES = " .:-=+*#%@"
MAX_PIXELS = 4096 * 4096
MAX_BYTES = 64 * 2**20


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--invert", is_flag=True, help="The digits are dark on a light ground.")
def predict(model: Path, images: tuple[Path, ...], invert: bool) -> None:
    r"""Say which digit is in each of IMAGES, and how sure the network is.

    MODEL is the directory of a run or a safetensors file; IMAGES are PNG or NPY files. The digits
    have to be light on a dark ground, as in the training images. A PNG of another size is scaled
    to that of the training images.

    \b
    Examples:
      tarograd predict runs/digits seven.png
      tarograd predict runs/mnist/best.safetensors photo.png --invert
    """
    network = load_network(model)
    inputs = network.parameters()[0].shape[0]
    for path in images:
        image, note = _read(path, inputs, network)
        image = 1 - image if invert else image
        probabilities = softmax(network.predict(image.reshape(1, -1)))[0]
        click.echo(f"{path}{note}")
        _draw(image)
        best = int(probabilities.argmax())
        click.echo(f"digit {best}, probability {probabilities[best]:.4f}")
        for digit, p in enumerate(probabilities):
            click.echo(f"  {digit}  {p:.4f}  {'#' * round(40 * float(p))}".rstrip())


def _read(path: Path, inputs: int, network: Network) -> tuple[Array, str]:
    """The image as numbers from 0 to 1 in the network's size, and what was done to it."""
    if not path.is_file():
        raise click.UsageError(f"{path}: there is no such file")
    if path.stat().st_size > MAX_BYTES:
        raise click.UsageError(f"{path}: larger than {MAX_BYTES // 2**20} MB")
    if path.suffix.lower() == ".npy":
        return _read_npy(path, inputs, network), ""
    return _read_picture(path, inputs, network)


def _read_npy(path: Path, inputs: int, network: Network) -> Array:
    try:
        with path.open("rb") as file:
            array: Any = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError, OverflowError) as error:
        raise click.UsageError(f"{path} is not a readable NPY file: {error}") from None
    if array.size != inputs or array.dtype.kind not in "fui":
        raise click.UsageError(
            f"{path}: {array.dtype} numbers of shape {array.shape}; the network takes {inputs}"
        )
    return network.read(array).reshape(-1, array.shape[-1] if array.ndim > 1 else inputs)


def _read_picture(path: Path, inputs: int, network: Network) -> tuple[Array, str]:
    from PIL import Image

    side = math.isqrt(inputs)
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise click.UsageError(f"{path}: {picture.width}×{picture.height} is too large")
            gray = picture.convert("L")
    except click.ClickException:
        raise
    except Exception as error:  # whatever a damaged picture makes of the decoder
        raise click.UsageError(f"{path} is not a readable PNG file: {error}") from None
    note = ""
    if gray.width * gray.height != inputs:
        if side * side != inputs:
            raise click.UsageError(
                f"{path}: {gray.width}×{gray.height} pixels; the network takes {inputs} numbers"
            )
        note = f" (scaled from {gray.width}×{gray.height} to {side}×{side})"
        gray = gray.resize((side, side), Image.Resampling.BOX)
    return np.asarray(gray).astype(network.dtype) / 255, note


def _draw(image: Array) -> None:
    """Draw the image with characters, two to a pixel."""
    levels = (np.clip(image, 0, 1) * (len(SHADES) - 1)).round().astype(int)
    for row in levels:
        click.echo("".join(2 * SHADES[level] for level in row).rstrip())
