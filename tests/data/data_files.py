"""Makers of IDX and NPZ files, right and hostile, written from the definitions of the formats."""

from __future__ import annotations

import gzip
import io
import math
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_header(code: int, *sizes: int, dimensions: int | None = None) -> bytes:
    count = len(sizes) if dimensions is None else dimensions
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, code, count, *sizes)


def idx_bytes(array: NDArray[Any]) -> bytes:
    code = IDX_CODES[array.dtype.str[1:]]
    return idx_header(code, *array.shape) + array.astype(array.dtype.newbyteorder(">")).tobytes()


def arrays(train: int = 6, test: int = 4) -> dict[str, NDArray[Any]]:
    """A small data set that is right: 3 × 3 images of three classes."""
    return {
        "train_images": np.arange(train * 9, dtype=np.uint8).reshape(train, 3, 3),
        "train_labels": np.arange(train, dtype=np.uint8) % 3,
        "test_images": np.arange(test * 9, dtype=np.uint8).reshape(test, 3, 3) + 100,
        "test_labels": np.arange(test, dtype=np.uint8) % 3,
    }


def npy_bytes(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npy_with_header(header: str, payload: bytes = b"", version: int = 1) -> bytes:
    text = header.encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + payload


def npy_promising(shape: str, descr: str = "'|u1'", payload: bytes = b"abc") -> bytes:
    return npy_with_header(
        f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}", payload
    )


def zip_bytes(
    members: Mapping[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    buffer = io.BytesIO()
    pairs = members.items() if isinstance(members, Mapping) else members
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore", UserWarning)  # a duplicate name is what one test wants
        for name, content in pairs:
            archive.writestr(name, content)
    return buffer.getvalue()


def npz_bytes(
    method: int = zipfile.ZIP_DEFLATED, /, **changed: NDArray[Any] | bytes | None
) -> bytes:
    """The small data set as NPZ; `train_labels=...` puts another array or raw member there."""
    members = {}
    for name, content in {**arrays(), **changed}.items():
        if content is not None:
            raw = content if isinstance(content, bytes) else npy_bytes(content)
            members[f"{name}.npy"] = raw
    return zip_bytes(members, method)


def patched(content: bytes, old: bytes, new: bytes, count: int = 1) -> bytes:
    assert old in content
    return content.replace(old, new, count)


IMAGES = np.arange(5 * 28 * 28, dtype=np.int64).reshape(5, 28, 28).astype(np.uint8)
IDX = idx_bytes(IMAGES)
GZ = gzip.compress(IDX, mtime=0)
NPY = npy_bytes(arrays()["train_images"])
NPZ = npz_bytes()
STORED = npz_bytes(zipfile.ZIP_STORED)


def _deflated_zeros(count: int) -> bytes:
    """A gzip file of zeros after an IDX header of one image, made without holding the zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(idx_header(8, 1, 28, 28))]
    parts += [packer.compress(bytes(2**20)) for _ in range(count // 2**20)]
    return b"".join(parts) + packer.flush()


def _truthful_bomb(megabytes: int) -> bytes:
    """A gzip file that is a right IDX file of so many megabytes of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(idx_header(8, megabytes, 1024, 1024))]
    parts += [packer.compress(bytes(2**20)) for _ in range(megabytes)]
    return b"".join(parts) + packer.flush()


# The product of these is 2**64 + 4, which 64-bit arithmetic takes for 4.
_WRAPPING = (34724, 27905, 49477, 384773)

# Name, content, and what the message must say.
HOSTILE_IDX: list[tuple[str, bytes, str]] = [
    ("empty", b"", "an empty file"),
    ("one byte", b"\0", "two zero bytes, found the bytes 00"),
    ("three bytes", b"\0\0\x08", "found the bytes 00 00 08"),
    ("magic only", b"\0\0\x08\x03", r"byte 4: expected 3 dimensions .* the end after 0 bytes"),
    ("dimensions cut", IDX[:11], "the end after 7 bytes"),
    ("header only", IDX[:16], "byte 16: expected 3,920 bytes .* the end after 0"),
    ("last byte missing", IDX[:-1], "byte 3935: expected 3,920 bytes .* the end after 3,919"),
    ("half", IDX[: len(IDX) // 2], "the end after"),
    ("one byte more", IDX + b"\0", "byte 3936: expected the end .* found more bytes"),
    ("a second file behind", IDX + IDX, "expected the end"),
    ("first byte one", b"\x01" + IDX[1:], "two zero bytes"),
    ("second byte one", b"\0\x01" + IDX[2:], "two zero bytes"),
    ("shifted", IDX[1:], "two zero bytes"),
    ("little-endian magic", IDX[:4][::-1] + IDX[4:], "two zero bytes"),
    ("byte order mark", b"\xef\xbb\xbf" + IDX, "two zero bytes"),
    *(
        (f"type {code:02X}", idx_header(code, 1) + b"a", f"byte 2: .*the type {code:02X}")
        for code in (0x00, 0x01, 0x07, 0x0A, 0x0F, 0x88, 0xFF)
    ),
    ("no dimension", idx_header(8) + b"a", "byte 3: expected 1 to 4 dimensions, found 0"),
    ("5 dimensions", idx_header(8, 1, 1, 1, 1, 1) + b"a", "found 5"),
    ("255 dimensions", idx_header(8, *[1] * 255) + b"a", "found 255"),
    ("no image", idx_header(8, 0, 28, 28), "byte 4: expected dimensions of at least 1"),
    ("no column", idx_header(8, 5, 28, 0), "byte 12: expected dimensions of at least 1"),
    ("zero times huge", idx_header(8, 2**32 - 1, 0, 2**32 - 1), "dimensions of at least 1"),
    (
        "4 KB that promise 3.3 TB",
        idx_header(8, 2**32 - 1, 28, 28) + bytes(4080),
        r"byte 4: expected at most 16,777,216 bytes of data in a file of 4,096 bytes, "
        r"found a header that promises 3,367,254,359,280, of shape \(4294967295, 28, 28\)",
    ),
    ("2 to the 128", idx_header(14, *[2**32 - 1] * 4) + bytes(64), "promises 2,72"),
    ("wraps to zero", idx_header(8, *[2**16] * 4), "promises 18,446,744,073,709,551,616"),
    ("wraps to its length", idx_header(8, *_WRAPPING) + b"abcd", "promises 18,446,744,073,709,"),
    ("wraps in 32 bits", idx_header(8, 2**16, 2**16, 1) + b"a", "promises 4,294,967,296"),
    ("sizes little-endian", b"\0\0\x08\x01" + struct.pack("<I", 3) + b"abc", "promises 50,331,648"),
    ("type too wide", b"\0\0\x0e" + IDX[3:], "expected 31,360 bytes"),
    ("type too narrow", idx_header(8, 2) + b"abcd", "expected the end"),
    ("odd payload", idx_header(0x0B, 2) + b"abc", "expected 4 bytes of data .* the end after 3"),
    ("web page", b"<!DOCTYPE html><html>404</html>", "a web page"),
    ("XML of a bucket", b"\n<Error><Code>AccessDenied</Code></Error>", "a web page"),
    ("PNG", b"\x89PNG\r\n\x1a\n" + bytes(50), "the bytes 89 50 4e 47"),
    ("pickle", b"\x80\x04cos\nsystem\n(S'true'\ntR.", "two zero bytes"),
    ("zip", NPZ, "the bytes 50 4b 03 04"),
    ("NPY", NPY, "the bytes 93 4e 55 4d"),
    ("gzip: its magic only", GZ[:2], "a whole gzip file, found damage"),
    ("gzip: header cut", GZ[:8], "a whole gzip file, found damage"),
    ("gzip: half", GZ[: len(GZ) // 2], "a whole gzip file, found damage"),
    ("gzip: checksum missing", GZ[:-8], "a whole gzip file, found damage"),
    ("gzip: last byte missing", GZ[:-1], "a whole gzip file, found damage"),
    ("gzip: wrong checksum", GZ[:-8] + b"\1\2\3\4" + GZ[-4:], "CRC"),
    ("gzip: wrong length", GZ[:-4] + b"\1\2\3\4", "a whole gzip file, found damage"),
    ("gzip: unknown method", GZ[:2] + b"\x07" + GZ[3:], "a whole gzip file, found damage"),
    ("gzip: broken stream", GZ[:20] + b"\xff" * 40 + GZ[60:], "a whole gzip file, found damage"),
    ("gzip: name without end", b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 5000, "found damage"),
    ("gzip: garbage behind", GZ + b"garbage", "a whole gzip file, found damage"),
    ("gzip: of nothing", gzip.compress(b""), "an empty file"),
    ("gzip: of gzip", gzip.compress(GZ), "two zero bytes, found the bytes 1f 8b"),
    ("gzip: of a web page", gzip.compress(b"<html>"), "a web page"),
    ("gzip: of too little", gzip.compress(IDX[:-1]), "the end after 3,919"),
    ("gzip: of too much", gzip.compress(IDX + b"\0"), "expected the end"),
    ("gzip: two members", GZ + GZ, "expected the end"),
    ("gzip: bomb behind an image", _deflated_zeros(64 * 2**20), "expected the end after 784"),
    ("gzip: truthful bomb", _truthful_bomb(64), "promises 67,108,864"),
    ("gzip: promise of 3.3 TB", gzip.compress(idx_header(8, 2**32 - 1, 28, 28)), "promises 3,367"),
]


def _directory_patched(field: int, value: bytes, content: bytes = STORED) -> bytes:
    """The NPZ with a field of its first central directory entry overwritten."""
    start = content.index(b"PK\x01\x02") + field
    return content[:start] + value + content[start + len(value) :]


def _overlapping() -> bytes:
    """Four members of 8 MB each that are one and the same compressed data."""
    big = npy_bytes(np.zeros((8, 1024, 1024), np.uint8))
    content = zip_bytes({"train_images.npy": big})
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry = content[start:end]
    names = [b"train_images.npy", b"train_labels.npy", b"test_images.npyX", b"test_labels.npyX"]
    entries = b"".join(entry.replace(names[0], name) for name in names)
    entries = entries.replace(b"test_images.npyX", b"test_images.npy\0")
    entries = entries.replace(b"test_labels.npyX", b"test_labels.npy\0")
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 4, 4, len(entries), start, 0)
    return content[:start] + entries + tail


def _zip_bomb() -> bytes:
    return npz_bytes(train_images=npy_promising("(67108864, 1)", payload=bytes(2**26)))


_OBJECTS = npy_bytes(np.array([{"a": 1}], dtype=object))
_DESCR = {"bool": "'|b1'", "complex": "'<c8'", "text": "'<U4'"}
_DESCR |= {"unknown": "'|u3'", "float of 1 byte": "'|f1'"}
_DESCR |= {"void": "'|V4'", "16-byte float": "'<f16'"}

HOSTILE_NPZ: list[tuple[str, bytes, str]] = [
    ("empty", b"", "a zip of arrays, found damage"),
    ("text", b"hello", "not a zip file"),
    ("IDX", IDX, "not a zip file"),
    ("NPY", NPY, "not a zip file"),
    ("pickle", b"\x80\x04cos\nsystem\n(S'true'\ntR.", "not a zip file"),
    ("half", NPZ[: len(NPZ) // 2], "not a zip file"),
    ("last byte missing", NPZ[:-1], "damage"),
    ("first byte missing", NPZ[1:], "damage"),
    ("start missing", NPZ[100:], "damage"),
    ("no member", zip_bytes({}), "an empty zip"),
    ("other names", zip_bytes({"a.npy": NPY, "b" * 999: NPY}), r"found 'a\.npy', 'b{40}'$"),
    ("names without .npy", zip_bytes({"train_images": NPY}), "found 'train_images'"),
    ("no test labels", npz_bytes(test_labels=None), "found 0 named test_labels"),
    ("half of Keras", zip_bytes({"x_train.npy": NPY}), "found 0 named y_train"),
    (
        "two of one name",
        zip_bytes([(f"{n}.npy", npy_bytes(a)) for n, a in [*arrays().items(), *arrays().items()]]),
        "one array each of .*, found 2 named train_images",
    ),
    ("objects", npz_bytes(train_images=_OBJECTS), "Python objects, .* A pickle can run any code"),
    ("object labels", npz_bytes(test_labels=_OBJECTS), "Python objects"),
    ("member that is a pickle", npz_bytes(train_labels=b"\x80\x04N."), "starts with .x93NUMPY"),
    ("member that is empty", npz_bytes(train_labels=b""), "starts with .x93NUMPY"),
    ("member cut in its magic", npz_bytes(train_labels=NPY[:5]), "starts with .x93NUMPY"),
    ("member cut in its length", npz_bytes(train_labels=NPY[:9]), "descr, fortran_order and shape"),
    (
        "member cut in its header",
        npz_bytes(train_labels=NPY[:60]),
        "descr, fortran_order and shape",
    ),
    ("member cut in its data", npz_bytes(train_labels=NPY[:-1]), "promises 54"),
    ("member with more data", npz_bytes(train_labels=NPY + b"a"), "promises 54"),
    ("format 3", npz_bytes(train_images=b"\x93NUMPY\3\0" + NPY[8:]), "format 1 or 2"),
    ("format 0", npz_bytes(train_images=b"\x93NUMPY\0\0" + NPY[8:]), "format 1 or 2"),
    ("long header", npz_bytes(train_images=NPY[:8] + b"\xff\xff" + NPY[10:]), "at most 10,000 by"),
    (
        "header of 4 GB",
        npz_bytes(train_images=b"\x93NUMPY\2\0\xff\xff\xff\xff" + bytes(100)),
        "a header of at most 10,000 bytes, found 4,294,967,295",
    ),
    ("nested header", npz_bytes(train_images=npy_with_header("(" * 9000)), "descr, fortran_order"),
    ("negated header", npz_bytes(train_images=npy_with_header("-" * 9000)), "descr, fortran_order"),
    ("no shape", npz_bytes(train_images=npy_with_header("{'descr': '|u1'}")), "descr, fortran_o"),
    ("code as shape", npz_bytes(train_images=npy_promising("exit(1)")), "descr, fortran_order"),
    ("negative shape", npz_bytes(train_images=npy_promising("(-1,)")), "descr, fortran_order"),
    ("fractional shape", npz_bytes(train_images=npy_promising("(1.5,)")), "descr, fortran_order"),
    ("5,000 digits", npz_bytes(train_images=npy_promising("(" + "9" * 5000 + ",)")), "descr"),
    ("5 dimensions", npz_bytes(train_images=npy_promising("(1, 1, 1, 1, 3)")), "at most 4 dim"),
    ("zero times huge", npz_bytes(train_images=npy_promising("(0, 99999999999)")), "at least 1"),
    ("3.3 TB", npz_bytes(train_images=npy_promising("(4294967295, 28, 28)")), "promises 3,367,2"),
    ("wraps to 3", npz_bytes(train_images=npy_promising("(18446744073709551619,)")), "promises 18"),
    *(
        (
            f"type {name}",
            npz_bytes(train_images=npy_promising("(3,)", descr)),
            "expected numbers: u1",
        )
        for name, descr in _DESCR.items()
    ),
    ("dates", npz_bytes(train_images=npy_promising("(3,)", "'<M8[s]'")), "of a plain number type"),
    ("records", npz_bytes(train_images=npy_promising("(3,)", "[('a', '|u1')]")), "a plain number"),
    ("directory: 4 GB", _directory_patched(24, b"\xfe\xff\xff\xff"), "members that promise 4,294"),
    ("directory: 1 byte", _directory_patched(24, b"\1\0\0\0"), "CRC"),
    ("directory: encrypted", _directory_patched(8, b"\1\0"), "found it encrypted"),
    ("directory: unknown method", _directory_patched(10, b"\x63\0"), "stored or deflated"),
    ("directory: offset", _directory_patched(42, b"\xff\xff\xff\x7f"), "damage"),
    ("directory: checksum", _directory_patched(16, b"\0\0\0\0"), "CRC"),
    ("directory: deflated, not stored", _directory_patched(10, b"\x08\0"), "damage"),
    ("local name", patched(STORED, b"train_images", b"train_imagez"), "damage: File name in dir"),
    ("data flipped", patched(STORED, b"\1\2\3\4\5", b"\1\2\3\4\6"), "CRC"),
    ("LZMA", npz_bytes(zipfile.ZIP_LZMA), "stored or deflated"),
    ("BZIP2", npz_bytes(zipfile.ZIP_BZIP2), "stored or deflated"),
    ("bomb", _zip_bomb(), "at most 16,777,216 bytes of data in a file of .* promise 67,1"),
    ("four bombs in one", _overlapping(), "members that promise 33,55"),
]

IMAGES_3 = arrays()["train_images"]
# Whole files of whole arrays that are no data set.
UNFIT: list[tuple[str, dict[str, NDArray[Any]], str]] = [
    ("labels of floats", {"train_labels": np.zeros(6)}, r"class numbers, .* found float64 \(6,\)"),
    ("one-hot labels", {"train_labels": np.eye(6, dtype=np.uint8)}, r"found uint8 \(6, 6\)"),
    ("one label short", {"train_labels": np.zeros(5, np.uint8)}, "found 6 images and 5 labels"),
    ("one test label more", {"test_labels": np.zeros(5, np.uint8)}, "found 4 images and 5 labels"),
    ("label -1", {"train_labels": np.array([0, 1, -1, 0, 1, 2])}, "the label -1 at index 2 of 6"),
    ("label 1000", {"test_labels": np.array([0, 1, 1000, 0])}, "the label 1000 at index 2 of 4"),
    ("label 2^64 - 1", {"test_labels": np.full(4, -1).astype(np.uint64)}, "the label 18446744073"),
    ("images of int64", {"train_images": IMAGES_3.astype(np.int64)}, r"found int64 \(6, 3, 3\)"),
    ("images of float16", {"train_images": IMAGES_3.astype(np.float16)}, "found float16"),
    ("a line of pixels", {"train_images": IMAGES_3[:, 0, 0]}, r"found uint8 \(6,\)"),
    ("other test images", {"test_images": np.zeros((4, 2, 2), np.uint8)}, r"uint8 of \(2, 2\)"),
    ("float test images", {"test_images": np.zeros((4, 3, 3))}, r"float64 of \(3, 3\)"),
    ("NaN", {"train_images": np.full((6, 3, 3), math.nan)}, "finite numbers .* found NaN"),
    ("infinity", {"train_images": np.full((6, 3, 3), np.float32(math.inf))}, "finite numbers"),
]
