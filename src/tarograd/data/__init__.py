"""Data: images with labels, read from files that are not trusted, and cut into mini-batches."""

from tarograd.data.batches import Batches
from tarograd.data.catalog import load, names
from tarograd.data.dataset import DataError, Dataset, Split
from tarograd.data.idx import read_idx
from tarograd.data.npz import read_npy, read_npz

__all__ = [
    "Batches",
    "DataError",
    "Dataset",
    "Split",
    "load",
    "names",
    "read_idx",
    "read_npy",
    "read_npz",
]
