"""PNG, by a browser or a converter that is at hand; none is a dependency."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60


def png(svg: str, width: int, height: int) -> bytes:
    """The picture as pixels, two for each of its units.

    Args:
        svg: the picture.
        width: its width, in units.
        height: its height, in units.

    Raises:
        OSError: if neither rsvg-convert nor a Chromium is installed, or it fails.
    """
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "picture.svg"), Path(folder, "picture.png")
        source.write_text(svg, encoding="utf-8")
        if converter := which("rsvg-convert"):
            command = [converter, "--zoom=2", f"--output={target}", str(source)]
        elif browser := next(filter(None, map(which, BROWSERS)), None):
            command = [
                *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--no-first-run", "--force-device-scale-factor=2"),
                *(f"--user-data-dir={folder}/profile", f"--window-size={width},{height}"),
                *(f"--screenshot={target}", source.as_uri()),
            ]
        else:
            raise OSError("a PNG needs rsvg-convert or Chromium, and there is neither: save .svg")
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
            return target.read_bytes()
        except (subprocess.SubprocessError, FileNotFoundError) as error:
            raise OSError(f"{Path(command[0]).name} made no PNG: {error}") from None
