"""Options that several commands share."""

from __future__ import annotations

import click

data_option = click.option(
    "--data",
    default="digits",
    metavar="NAME|PATH",
    show_default=True,
    help="digits, mnist, or your own folder of IDX files or NPZ file.",
)
