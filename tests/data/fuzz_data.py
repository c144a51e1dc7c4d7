"""Feeds damaged files to the readers: `python fuzz_data.py COUNT SEED`; prints what came of it.

Run as a program of its own, so that the memory it took can be told.
"""

from __future__ import annotations

import gzip
import json
import random
import resource
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from data_files import HOSTILE_IDX, HOSTILE_NPZ, idx_bytes, npz_bytes

from tarograd.data import DataError, load, read_idx

_SPECIAL = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)


def mutate(content: bytes, dice: random.Random) -> bytes:
    """Damages a copy in one to four places."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        # Headers and directories stand at the ends: half of the damage goes there.
        at = dice.choice([dice.randrange(64), -dice.randrange(1, 400), dice.randrange(len(data))])
        at %= len(data)
        span = dice.choice([1, 2, 4, 8, dice.randrange(1, 200)])
        kind = dice.randrange(7)
        if kind == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            data[at] = dice.choice(_SPECIAL)
        elif kind == 2:
            data[at : at + span] = bytes([dice.choice(_SPECIAL)]) * span
        elif kind == 3:
            data[at : at + span] = dice.randbytes(span)
        elif kind == 4:
            del data[at : at + span]
        elif kind == 5:
            data[at:at] = data[at : at + span]
        else:
            del data[max(at, 1) :]
        data = data or bytearray(b"\0")
    return bytes(data)


def read_one(path: Path) -> None:
    array = read_idx(path)
    assert array.dtype.isnative
    assert 1 <= array.ndim <= 4
    assert array.size >= 1


def read_all(path: Path) -> None:
    data = load(path)
    assert len(data.train) == 6
    assert len(data.test) == 4
    assert int(data.train.labels.max()) < data.classes <= 1000


def main(count: int, seed: int) -> dict[str, float]:
    images = np.random.default_rng(1).integers(0, 256, (20, 8, 8)).astype(np.uint8)
    originals: list[tuple[Callable[[Path], None], bytes]] = [
        (read_one, idx_bytes(images)),
        (read_one, idx_bytes(images.astype(np.float64))),
        (read_one, gzip.compress(idx_bytes(images), mtime=0)),
        (read_all, npz_bytes(zipfile.ZIP_STORED)),
        (read_all, npz_bytes(zipfile.ZIP_DEFLATED)),
    ]
    dice = random.Random(seed)
    outcome: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "damaged")
        for read, content in originals:
            path.write_bytes(content)
            read(path)
        damaged = [(read_one, content) for _, content, _ in HOSTILE_IDX]
        damaged += [(read_all, content) for _, content, _ in HOSTILE_NPZ]
        for turn in range(count + len(damaged)):
            if turn < len(damaged):
                read, content = damaged[turn]
            else:
                read, content = dice.choice(originals)
                content = mutate(content, dice)
            path.write_bytes(content)
            try:
                read(path)
            except DataError:
                outcome["refused"] += 1
            else:
                outcome["read"] += 1
    return {**outcome, "peak_mb": peak_megabytes()}


def peak_megabytes() -> float:
    """The most memory that this program ever held."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux's ru_maxrss would count the process that started this one.
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
