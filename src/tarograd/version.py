"""The version, which checkpoints and the packaging read."""

__version__ = "0.1.0"
