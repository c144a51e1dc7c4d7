"""What a run leaves in its directory, and how it is found again.

- `last.safetensors` - everything that the run needs to go on: parameters, the optimizer's state,
  the losses so far, and as metadata the position, the history and the settings.
- `best.safetensors` - the parameters at the best epoch.
- `run.json` - the settings, versions and data hashes.
- `history.csv`, `curve.png` - see `History`.
- `report.html` - see `Recorder`.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
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

LAST, BEST, RUN, TABLE, CURVE, REPORT = (
    "last.safetensors",
    "best.safetensors",
    "run.json",
    "history.csv",
    "curve.png",
    "report.html",
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
    """Put the arrays into the network, or into one that is built as the metadata say.

    Nothing has changed in the network when a CheckpointError is raised.
    """
    own = {n: a for n, a in arrays.items() if not n.startswith(_OPTIMIZER) and n != _LOSSES}
    pixel_max = metadata.get("pixel_max")
    if type(pixel_max) is not int or not 1 <= pixel_max < 2**16:
        raise CheckpointError(f"{path}: pixel_max={_shown(pixel_max)}: it lies from 1 to 65535")
    if network is None:
        network = _build(path, own, metadata.get("network"))
    named = network.named_parameters()
    checkpoint.check_shapes(own, {name: p.shape for name, p in named.items()}, path)
    for name, parameter in named.items():
        if own[name].dtype != parameter.dtype:
            raise CheckpointError(
                f"{path}: {name}: the file has {own[name].dtype}, the network {parameter.dtype}; "
                f"give a network.astype(np.{own[name].dtype})"
            )
    for name, parameter in named.items():
        parameter.value = own[name]
    network.pixel_max = pixel_max
    return network


def _build(path: Path, arrays: dict[str, Array], text: Any) -> Network:
    """The network that the text describes, with the dtype of the arrays."""
    if not isinstance(text, str):
        raise CheckpointError(f"{path} does not say which network it belongs to")
    network = construct(text, weights=sum(a.size for a in arrays.values()))
    if not isinstance(network, Network):
        raise CheckpointError(f"{path}: {_shown(text)} is not a network")
    kinds = {a.dtype for a in arrays.values() if a.dtype.kind == "f"}
    return network.astype(kinds.pop()) if len(kinds) == 1 else network


def _shown(value: Any) -> str:
    """A value out of a file, no longer than a message can bear."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


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
        self.describe()

    def describe(self) -> None:
        """Write run.json."""
        if self.directory is None:
            return
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
        arrays, metadata = _load_run(self.directory)
        self._compare(path, metadata["settings"])
        try:
            history = _history(str(self.directory), arrays, metadata)
            state = {
                name.removeprefix(_OPTIMIZER): array
                for name, array in arrays.items()
                if name.startswith(_OPTIMIZER)
            }
            optimizer.load_state_arrays(state)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} is damaged: {error}") from error
        if optimizer.step_count != len(history.losses):
            raise CheckpointError(
                f"{path} is damaged: the optimizer has made {optimizer.step_count} steps, the run "
                f"{len(history.losses)}"
            )
        _restore(path, arrays, metadata, network)
        return history

    def _compare(self, path: Path, before: dict[str, Any]) -> None:
        """Refuse to go on with other settings than those of the start."""
        for key, now in self.settings.items():
            if before[key] == now:
                continue
            if key == "data_hashes":
                changed = next((k for k in now if before[key].get(k) != now[k]), key)
                raise CheckpointError(
                    f"{path}: the run was started with other data: {changed} have changed since"
                )
            raise CheckpointError(
                f"{path}: the run was started with {key}={_shown(before[key])}, "
                f"not {_shown(now)}: resume with the same settings, or start a new run in "
                "another directory"
            )


_SETTINGS: dict[str, Any] = {
    "network": str,
    "loss": str,
    "optimizer": str,
    "batch_size": int,
    "sampling": str,
    "validation": float,
    "seed": int,
    "compiled": bool,
    "data": str,
    "data_hashes": dict,
}


def _load_run(directory: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """What is in last.safetensors, its settings checked to be all there and of their types."""
    path = directory / LAST
    if not path.exists():
        raise CheckpointError(
            f"{directory}: there is no run to go on with, since it has no {LAST}: "
            "start one, or name the directory of another"
        )
    arrays, metadata = checkpoint.load(path)
    settings = metadata.get("settings")
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path} is not a run's {LAST}: it has no settings")
    for key, kind in _SETTINGS.items():
        if type(settings.get(key)) is not kind:
            raise CheckpointError(f"{path} is damaged: {key}={_shown(settings.get(key))}")
    if type(metadata.get("steps")) is not int:
        raise CheckpointError(f"{path} is damaged: steps={_shown(metadata.get('steps'))}")
    return arrays, metadata


def _history(name: str, arrays: dict[str, Array], metadata: dict[str, Any]) -> History:
    """The history in a checkpoint.

    Raises:
        KeyError, TypeError, ValueError: if it is no history.
    """
    losses, rows = arrays[_LOSSES], metadata["epochs"]
    if losses.ndim != 1 or losses.dtype != np.float64 or metadata["step"] != len(losses):
        raise ValueError(f"{losses.dtype} losses {losses.shape} for step {metadata['step']!r}")
    epochs = [Epoch(**row) for row in rows]
    for row in epochs:
        counts = (row.epoch, row.step)
        shares = (row.train_accuracy, row.test_accuracy, row.validation_accuracy)
        sound = all(type(n) is int and 0 <= n <= len(losses) for n in counts)
        sound &= row.loss is None or type(row.loss) is float
        sound &= all(type(a) is float and 0 <= a <= 1 for a in shares if a is not None)
        if not sound or None in shares[:2]:
            raise ValueError(f"an epoch of {_shown(row)}")
    if any(b.step <= a.step for a, b in pairwise(epochs)):
        raise ValueError("its epochs are out of order")
    return History(name, epochs, losses)


def _move_aside(directory: Path) -> None:
    """Move the files of an earlier run into `earlier-1`, `earlier-2` …: nothing is lost."""
    files = [directory / name for name in (LAST, BEST, RUN, TABLE, CURVE, REPORT)]
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


def saved_run(directory: str | os.PathLike[str]) -> tuple[Network, dict[str, Any], int]:
    """The network of the run in `directory`, its settings, and how many steps it is meant to make.

    Raises:
        CheckpointError: if there is no such run, or its last.safetensors is damaged.
    """
    directory = Path(directory)
    arrays, metadata = _load_run(directory)
    network = _restore(directory / LAST, arrays, metadata, None)
    return network, metadata["settings"], metadata["steps"]
