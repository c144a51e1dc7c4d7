"""Pictures in the terminal and in files, for the commands that draw."""

from __future__ import annotations

import os
import sys
from shutil import get_terminal_size
from typing import Literal

import click

from tarograd.drawing import Picture
from tarograd.drawing.canvas import only_ascii


def show(picture: Picture, output: str | None, ascii: bool, wide: bool) -> None:
    """Save the picture if a file is named, and draw it as the terminal can."""
    if output:
        picture.save(output)
    columns = get_terminal_size((200, 24)).columns
    dull = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    color = sys.stdout.isatty() and not dull
    plain = ascii or only_ascii(sys.stdout.encoding)
    width: Literal[1, 2] = 2 if wide else 1
    drawn = picture.terminal(color=color, ascii=plain, width=width, columns=columns)
    click.echo(drawn + "\n")
