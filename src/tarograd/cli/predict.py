"""`tarograd predict`: which digit is in an image?"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from tarograd.data import read_npy
from tarograd.functions import softmax
from tarograd.graph import Array
from tarograd.nn import Network
from tarograd.training import load_network

if TYPE_CHECKING:
    from PIL.Image import Image

SHADES = " .:-=+*#%@"
MAX_PIXELS = 4096 * 4096
MAX_BYTES = 64 * 2**20
EXAMPLES = """\b
Examples:
  tarograd predict runs/digits seven.png
  tarograd predict runs/mnist/best.safetensors photo.png --invert
"""


@click.command(epilog=EXAMPLES)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--invert", is_flag=True, help="The digits are dark on a light ground.")
def predict(model: Path, images: tuple[Path, ...], invert: bool) -> None:
    """Say which digit is in each of IMAGES.

    Beside it stands how sure the network is, for each digit. MODEL is the directory of a run or
    a safetensors file; IMAGES are PNG or NPY files. The digits have to be light on a dark ground,
    as in the training images. A PNG of another size is scaled to that of the training images;
    where it is transparent, it counts as white.
    """
    network = load_network(model)
    if not network.parameters():
        raise click.UsageError(f"{model}: {network!r} has no weights")
    inputs = network.parameters()[0].shape[0]
    for path in images:
        image, note = read_image(path, inputs, network)
        image = 1 - image if invert else image
        with np.errstate(all="ignore"):  # of weights that are not finite; refused below
            probabilities = softmax(network.predict(image.reshape(1, -1)))[0]
        if not np.isfinite(probabilities).all():
            raise click.UsageError(f"{model}: what the network makes of {path} is not finite")
        click.echo(f"{click.format_filename(path)}{note}")
        _draw(image)
        best = int(probabilities.argmax())
        click.echo(f"digit {best}, probability {probabilities[best]:.4f}")
        for digit, p in enumerate(probabilities):
            click.echo(f"  {digit}  {p:.4f}  {'#' * round(40 * float(p))}".rstrip())


def read_image(path: Path, inputs: int, network: Network) -> tuple[Array, str]:
    """The image as numbers from 0 to 1 in the network's size, and what was done to it."""
    if not path.is_file():
        raise click.UsageError(f"{path}: there is no such file")
    if path.suffix.lower() == ".npy":
        return _read_npy(path, inputs, network), ""
    if path.stat().st_size > MAX_BYTES:
        raise click.UsageError(f"{path}: larger than {MAX_BYTES // 2**20} MB")
    return _read_picture(path, inputs, network)


def _read_npy(path: Path, inputs: int, network: Network) -> Array:
    array = read_npy(path, MAX_BYTES)
    if array.size != inputs:
        raise click.UsageError(
            f"{path}: {array.dtype} numbers of shape {array.shape}; the network takes {inputs}, "
            "one image in a file"
        )
    low, high = array.min(), array.max()
    if array.dtype.kind in "iu":
        if low < 0 or high > network.pixel_max:
            raise click.UsageError(
                f"{path}: whole numbers from {low} to {high}; for this network they have to lie "
                f"from 0, black, to {network.pixel_max}, white"
            )
        array = array.astype(network.dtype) / network.pixel_max
    elif not np.isfinite([low, high]).all():
        raise click.UsageError(f"{path}: NaN or infinity among its numbers")
    side = math.isqrt(inputs)
    if array.ndim < 2 or array.shape[-1] == inputs:
        return array.reshape(-1, side if side * side == inputs else inputs)
    return array.reshape(-1, array.shape[-1])


def _read_picture(path: Path, inputs: int, network: Network) -> tuple[Array, str]:
    from PIL import Image, UnidentifiedImageError

    side = math.isqrt(inputs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a size that is refused here, or of oddities
            with Image.open(path, formats=["PNG"]) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise click.UsageError(f"{path}: {picture.width}×{picture.height} is too large")
                gray, white = _gray(picture)
    except click.ClickException:
        raise
    except UnidentifiedImageError:
        message = f"{path} is no PNG file; save it as one, or its numbers with np.save as NPY"
        raise click.UsageError(message) from None
    except Exception as error:  # whatever a damaged picture makes of the decoder
        raise click.UsageError(f"{path} is not a readable PNG file: {error}") from None
    note = ""
    size = f"{gray.width}×{gray.height}"
    if side * side == inputs and gray.size != (side, side):
        note = f" (scaled from {size} to {side}×{side})"
        gray = gray.resize((side, side), Image.Resampling.BOX)
    elif gray.width * gray.height != inputs:
        raise click.UsageError(f"{path}: {size} pixels; the network takes {inputs} numbers")
    return np.asarray(gray).astype(network.dtype) / white, note


def _gray(picture: Any) -> tuple[Image, int]:
    """The picture in shades of gray, and the number that is white."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        return picture.convert("F"), 2**16 - 1
    gray = picture.convert("L")
    if picture.has_transparency_data:
        paper = Image.new("L", picture.size, "white")
        paper.paste(gray, mask=picture.convert("RGBA").getchannel("A"))
        gray = paper
    return gray, 255


def _draw(image: Array) -> None:
    """Draw the image with characters, two to a pixel."""
    levels = (np.clip(image, 0, 1) * (len(SHADES) - 1)).round().astype(int)
    for row in levels:
        click.echo("".join(2 * SHADES[level] for level in row).rstrip())
