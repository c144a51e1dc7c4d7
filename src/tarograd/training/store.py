"""What a run leaves in its directory, and how it is found again.

- `last.safetensors` - everything that the run needs to go on: parameters, the optimizer's state,
  the losses so far, and as metadata the position, the history and the settings.
- `best.safetensors` - the parameters at the best epoch.
- `run.json` - the settings, versions and data hashes.
- `history.csv`, `curve.png` - see `History`.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tarograd import checkpoint
from tarograd.checkpoint import CheckpointError
from tarograd.graph import Array
from tarograd.nn import Network
from tarograd.optim import Optimizer
from tarograd.training.construct import construct
from tarograd.training.history import Epoch, History
from tarograd.version import __version__

LAST, BEST, RUN, TABLE, CURVE = (
    "last.safetensors",
    "best.safetensors",
    "run.json",
    "history.csv",
    "curve.png",
)
_OPTIMIZER, _LOSSES = "optimizer/", "history/losses"


def save_network(network: Network, path: str | os.PathLike[str], **metadata: Any) -> None:
    """Write the parameters of a network to a safetensors file, atomically.

    Args:
        network: its parameters are stored by their names, its `repr` and `pixel_max` beside them.
        path: the file; its folder must exist.
        **metadata: what else to store, as far as JSON can hold it.

    Raises:
        CheckpointError: if the file cannot be written; an earlier one is then intact.
    """
    arrays = {name: p.value for name, p in network.named_parameters().items()}
    checkpoint.save(path, arrays, {**_about(network), **metadata})


def load_network(path: str | os.PathLike[str], network: Network | None = None) -> Network:
    """Read the parameters of a network from a file.

    Args:
        path: a file that `save_network` or `tg.fit` wrote, or the directory of a run, of which
            the best parameters are taken.
        network: the network to give the parameters to; by default one is built as the file says.

    Returns:
        the network.

    Raises:
        CheckpointError: if the file is damaged, is no checkpoint, or belongs to another network;
            the message names the first parameter that differs, and both shapes.

    Example:
        >>> import tempfile, tarograd as tg
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "net.safetensors")
        ...     save_network(tg.nn.TwoLayerNet(4, 3, 2), path)
        ...     load_network(path)
        TwoLayerNet(4, 3, 2)
    """
    path = Path(path)
    path = path / BEST if path.is_dir() else path
    arrays, metadata = checkpoint.load(path)
    return _restore(path, arrays, metadata, network)


def _about(network: Network) -> dict[str, Any]:
    return {"network": repr(network), "pixel_max": network.pixel_max}


def _restore(
    path: Path, arrays: dict[str, Array], metadata: dict[str, Any], network: Network | None
) -> Network:
    """Put the arrays into the network, or into one that is built as the metadata say."""
    own = {name: a for name, a in arrays.items() if "/" not in name}
    pixel_max = metadata.get("pixel_max")
    if not isinstance(pixel_max, int) or pixel_max < 1:
        raise CheckpointError(f"{path}: pixel_max={pixel_max!r}: a whole number from 1 is needed")
    if network is None:
        text = metadata.get("network")
        if not isinstance(text, str):
            raise CheckpointError(f"{path} does not say which network it belongs to")
        network = construct(text, weights=sum(a.size for a in own.values()))
        if not isinstance(network, Network):
            raise CheckpointError(f"{path}: {text!r} is not a network")
    named = network.named_parameters()
    checkpoint.check_shapes(own, {name: p.shape for name, p in named.items()}, path)
    for name, parameter in named.items():
        if own[name].dtype != parameter.dtype:
            raise CheckpointError(
                f"{path}: {name}: the file has {own[name].dtype}, the network {parameter.dtype}; "
                "use network.astype"
            )
        parameter.value = own[name]
    network.pixel_max = pixel_max
    return network


@dataclass(frozen=True)
class Store:
    """The files of one run.

    Args:
        directory: where they are, or None for a run that leaves nothing behind.
        settings: what the run was started with; a run that goes on has to have the same.
        steps: how many the run is meant to make; that may change.
    """

    directory: Path | None
    settings: Mapping[str, Any]
    steps: int

    def start(self) -> None:
        """Make the directory and write run.json; files of an earlier run are moved aside.

        Raises:
            CheckpointError: if the directory cannot be made or written to.
        """
        if self.directory is None:
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            _move_aside(self.directory)
        except OSError as error:
            raise CheckpointError(
                f"cannot use the directory {self.directory}: {error.strerror or error}"
            ) from error
        versions = {
            "tarograd": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        }
        text = json.dumps(
            {"settings": self.settings, "steps": self.steps, "versions": versions}, indent=2
        )
        checkpoint.write_atomically(self.directory / RUN, f"{text}\n".encode())

    def save(self, network: Network, optimizer: Optimizer, history: History) -> None:
        """Write last.safetensors and history.csv: the run can go on from here."""
        if self.directory is None:
            return
        arrays = {name: p.value for name, p in network.named_parameters().items()}
        arrays |= {_OPTIMIZER + key: a for key, a in optimizer.state_arrays().items()}
        arrays[_LOSSES] = history.losses
        metadata = {
            **_about(network),
            "settings": self.settings,
            "steps": self.steps,
            "step": len(history.losses),
            "epochs": history.rows(),
        }
        checkpoint.save(self.directory / LAST, arrays, metadata)
        history.to_csv(self.directory / TABLE)

    def save_best(self, network: Network, row: Epoch) -> None:
        """Write best.safetensors."""
        if self.directory is not None:
            save_network(network, self.directory / BEST, epoch=row.epoch, step=row.step)

    def load(self, network: Network, optimizer: Optimizer) -> History:
        """Restore the network, the optimizer and the history from last.safetensors.

        Raises:
            CheckpointError: if there is no such file, it is damaged, or the run was started with
                other settings; the message names the first that differs.
        """
        if self.directory is None:
            raise CheckpointError("resume=True needs directory=, where the run was saved")
        path = self.directory / LAST
        arrays, metadata = checkpoint.load(path)
        before = metadata.get("settings")
        if not isinstance(before, dict):
            raise CheckpointError(f"{path} is not a run's last.safetensors: it has no settings")
        for key, value in self.settings.items():
            if before.get(key) != value:
                raise CheckpointError(
                    f"{path}: the run was started with {key}={before.get(key)!r}, not {value!r}: "
                    "resume with the same settings, or start a new run in another directory"
                )
        _restore(path, arrays, metadata, network)
        try:
            rows = [Epoch(**row) for row in metadata["epochs"]]
            losses, step = arrays[_LOSSES], metadata["step"]
            state = {k.removeprefix(_OPTIMIZER): a for k, a in arrays.items() if _OPTIMIZER in k}
            optimizer.load_state_arrays(state)
            optimizer.step_count = step
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} is not a run's last.safetensors: {error}") from error
        if losses.ndim != 1 or losses.dtype != np.float64 or len(losses) != step:
            raise CheckpointError(f"{path}: {losses.shape} losses for {step} steps")
        return History(str(self.directory), rows, losses)


def _move_aside(directory: Path) -> None:
    """Move the files of an earlier run into `earlier-1`, `earlier-2` …: nothing is lost."""
    files = [directory / name for name in (LAST, BEST, RUN, TABLE, CURVE)]
    if not any(file.exists() for file in files):
        return
    number = 1
    while (directory / f"earlier-{number}").exists():
        number += 1
    aside = directory / f"earlier-{number}"
    aside.mkdir()
    for file in files:
        if file.exists():
            file.rename(aside / file.name)


def saved_settings(directory: str | os.PathLike[str]) -> tuple[dict[str, Any], int]:
    """The settings of the run in `directory`, and how many steps it is meant to make.

    Raises:
        CheckpointError: if there is no such run, or its last.safetensors is damaged.
    """
    path = Path(directory) / LAST
    metadata = checkpoint.load(path)[1]
    settings, steps = metadata.get("settings"), metadata.get("steps")
    if not isinstance(settings, dict) or not isinstance(steps, int):
        raise CheckpointError(f"{path} is not a run's last.safetensors: it has no settings")
    return settings, steps
