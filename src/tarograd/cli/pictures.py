"""Pictures in the terminal and in files, for the commands that draw."""

from __future__ import annotations

import os
import sys
from shutil import get_terminal_size
from typing import Literal

import click

from tarograd.drawing import Picture


def show(picture: Picture, output: str | None, ascii: bool, wide: bool) -> None:
    """Save the picture if a file is named, and draw it as the terminal can."""
    if output:
        picture.save(output)
    columns = get_terminal_size((200, 24)).columns
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    plain = ascii or not _shows("─━▶×", sys.stdout.encoding or "utf-8")
    width: Literal[1, 2] = 2 if wide else 1
    drawn = picture.terminal(color=color, ascii=plain, width=width, columns=columns)
    click.echo(drawn + "\n")


def _shows(text: str, encoding: str) -> bool:
    """Whether the output can carry these characters."""
    try:
        return bool(text.encode(encoding))
    except UnicodeEncodeError:
        return False
