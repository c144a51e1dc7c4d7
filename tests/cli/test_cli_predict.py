"""tarograd predict: the network's own answer for PNG and NPY images of many kinds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from words import call, refusal

import tarograd as tg
from commands import Outcome, taro

DIGITS = tg.data.load("digits")
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows the digits."""
    folder = tmp_path_factory.mktemp("run")
    fast = tg.optim.SGD(lr=0.5)
    net = tg.nn.TwoLayerNet(64, 30, 10)
    tg.fit(net, DIGITS, optimizer=fast, epochs=30, directory=folder, progress=False)
    return folder


def softmax(scores: Any) -> Any:
    e = np.exp(scores.astype(np.float64) - scores.max())
    return e / e.sum()


def answer(outcome: Outcome) -> tuple[int, list[float], list[str]]:
    """The digit, the probabilities and the drawing of one image."""
    assert (outcome.code, outcome.err) == (0, "")
    _, *lines = outcome.out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("digit "))
    digit, probability = re.fullmatch(
        r"digit (\d+), probability (\d\.\d{4})", lines[place]
    ).groups()  # type: ignore[union-attr]  # None fails the test
    table = [line.split() for line in lines[place + 1 :]]
    assert [int(row[0]) for row in table] == list(range(len(table)))
    shares = [float(row[1]) for row in table]
    assert float(probability) == shares[int(digit)] == max(shares)
    for row, share in zip(table, shares, strict=True):  # a bar of 40 signs is 1
        assert abs(len(row[2] if len(row) > 2 else "") - 40 * share) <= 0.51
    return int(digit), shares, lines[:place]


def test_the_digits_of_the_test_set_and_their_probabilities(run: Path, tmp_path: Path) -> None:
    net = tg.load_network(run)
    right = 0
    for i, (image, label) in enumerate(zip(*DIGITS.test[:40], strict=True)):
        np.save(tmp_path / f"{i}.npy", image)
        digit, shares, _ = answer(call("predict", run, tmp_path / f"{i}.npy"))
        np.testing.assert_allclose(shares, softmax(net.predict(image[None])[0]), atol=5.1e-5)
        assert sum(shares) == pytest.approx(1, abs=6e-4)
        right += digit == label
    assert right >= 36


def test_the_model_is_a_run_or_one_of_its_files(run: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.npy"
    np.save(image, DIGITS.test.images[3])
    best = call("predict", run / "best.safetensors", image)
    assert call("predict", run, image) == best
    last = call("predict", run / "last.safetensors", image)
    assert answer(last)[0] == answer(best)[0]


BYTES = DIGITS.test.images[7]
SHARES = BYTES / np.float32(16)


@pytest.mark.parametrize(
    "array",
    [
        BYTES,
        BYTES.astype(np.int8),
        BYTES.astype(np.uint16),
        BYTES.astype(">u2"),
        BYTES.astype(np.int32),
        BYTES.astype(np.int64),
        BYTES.astype(">i8"),
        BYTES.astype(np.uint64),
        np.asfortranarray(BYTES.astype(np.int64)),
        SHARES,
        SHARES.astype(np.float64),
        SHARES.astype(">f8"),
        SHARES.astype(np.float16),
        np.asfortranarray(SHARES),
        BYTES.reshape(64),
        BYTES.reshape(1, 64),
        BYTES.reshape(64, 1),
        BYTES.reshape(1, 8, 8),
        BYTES.reshape(1, 1, 8, 8),
    ],
    ids=lambda a: f"{a.dtype.str} {a.shape} {'F' if a.flags.fnc else 'C'}",
)
def test_numbers_of_any_type_and_shape_mean_the_same_image(
    run: Path, tmp_path: Path, array: Any
) -> None:
    np.save(tmp_path / "a.npy", array)
    digit, shares, drawing = answer(call("predict", run, tmp_path / "a.npy"))
    expected = softmax(tg.load_network(run).predict(BYTES[None])[0])
    assert digit == DIGITS.test.labels[7] == expected.argmax()
    np.testing.assert_allclose(shares, expected, atol=5.1e-5)
    assert len(drawing) == 8 if array.shape != (64, 1) else 64


def write(path: Path, pixels: Any, mode: str = "L", **options: Any) -> Path:
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


GRAY = RNG.integers(0, 256, (8, 8), np.uint8)


def with_alpha(kind: str) -> Image.Image:
    """GRAY, where it is darker than 128 transparent black."""
    solid = np.where(GRAY >= 128, 255, 0).astype(np.uint8)
    levels = np.where(GRAY >= 128, GRAY, 0).astype(np.uint8)
    layers = [levels] * (3 if kind == "RGBA" else 1)
    return Image.fromarray(np.stack([*layers, solid], axis=2))


def test_pictures_of_any_kind(run: Path, tmp_path: Path) -> None:
    on_white = np.where(GRAY >= 128, GRAY, 255)
    palette = Image.fromarray(GRAY).convert("P")
    transparent = Image.frombytes("P", (8, 8), np.uint8(GRAY >= 128).tobytes())
    transparent.putpalette([9, 9, 9, 77, 77, 77])
    pictures: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "gray": (Image.fromarray(GRAY), GRAY, {}),
        "RGB": (Image.fromarray(GRAY).convert("RGB"), GRAY, {}),
        "palette": (palette, np.asarray(palette.convert("L")), {}),
        "1 bit": (Image.fromarray(GRAY >= 128), np.where(GRAY >= 128, 255, 0), {}),
        "16 bits": (Image.fromarray(GRAY.astype(np.uint16) * 257), GRAY, {}),
        "RGBA": (with_alpha("RGBA"), on_white, {}),
        "LA": (with_alpha("LA"), on_white, {}),
        "transparent color": (transparent, np.where(GRAY >= 128, 77, 255), {"transparency": 0}),
        "interlaced": (Image.fromarray(GRAY), GRAY, {"interlace": 1}),
    }
    net = tg.load_network(run)
    for name, (picture, brightness, options) in pictures.items():
        path = tmp_path / f"{name}.PNG"
        picture.save(path, **options)
        _, shares, _ = answer(call("predict", run, path))
        expected = softmax(net.predict((brightness / 255).reshape(1, 64).astype(np.float32))[0])
        np.testing.assert_allclose(shares, expected, atol=5.1e-5, err_msg=name)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (80, 80), (24, 8), (400, 16)])
def test_a_larger_picture_is_scaled_by_the_means_of_its_parts(
    run: Path, tmp_path: Path, height: int, width: int
) -> None:
    small = write(tmp_path / "small.png", GRAY)
    large = np.repeat(np.repeat(GRAY, height // 8, axis=0), width // 8, axis=1)
    outcome = call("predict", run, write(tmp_path / "large.png", large))
    assert outcome.out.splitlines()[0] == (
        f"{tmp_path}/large.png (scaled from {width}×{height} to 8×8)"
    )
    assert answer(outcome) == answer(call("predict", run, small))


def test_a_smaller_picture_and_one_of_one_pixel(run: Path, tmp_path: Path) -> None:
    four = np.array([[0, 255], [100, 50]], np.uint8)
    one = answer(call("predict", run, write(tmp_path / "four.png", four)))
    many = answer(
        call("predict", run, write(tmp_path / "many.png", four.repeat(4, 0).repeat(4, 1)))
    )
    assert one == many
    assert answer(call("predict", run, write(tmp_path / "one.png", four[:1, :1])))[2] == [""] * 8


def test_a_picture_of_as_many_pixels_in_another_form_is_scaled_too(
    run: Path, tmp_path: Path
) -> None:
    outcome = call("predict", run, write(tmp_path / "a.png", GRAY.reshape(4, 16)))
    assert "(scaled from 16×4 to 8×8)" in outcome.out


def test_invert_makes_light_of_dark(run: Path, tmp_path: Path) -> None:
    light = answer(call("predict", run, write(tmp_path / "light.png", GRAY)))
    dark = call("predict", run, write(tmp_path / "dark.png", 255 - GRAY), "--invert")
    assert answer(dark)[0] == light[0]
    np.testing.assert_allclose(answer(dark)[1], light[1], atol=1.1e-4)
    assert answer(dark)[2] == light[2]
    np.save(tmp_path / "dark.npy", 16 - BYTES)
    np.save(tmp_path / "light.npy", BYTES)
    inverted = answer(call("predict", "--invert", run, tmp_path / "dark.npy"))
    assert inverted == answer(call("predict", run, tmp_path / "light.npy"))


def test_the_drawing_shows_the_image(run: Path, tmp_path: Path) -> None:
    image = np.zeros((8, 8), np.uint8)
    image[2, 3], image[5, :] = 16, 8
    np.save(tmp_path / "a.npy", image)
    _, _, drawing = answer(call("predict", run, tmp_path / "a.npy"))
    assert drawing[2] == "      @@"
    assert set(drawing[5]) <= set("-=+*") and len(drawing[5]) == 16  # noqa: PT018  # one row
    assert [drawing[i] for i in (0, 1, 3, 4, 6, 7)] == [""] * 6


def test_several_images_one_after_the_other(run: Path, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.png", GRAY) for name in ("one", "two three", "été")]
    outcome = call("predict", run, *paths)
    assert [line for line in outcome.out.splitlines() if line.startswith("/")] == [*map(str, paths)]
    parts = [call("predict", run, path).out for path in paths]
    assert outcome.out == "".join(parts)
    missing = call("predict", run, paths[0], tmp_path / "four.png", paths[1])
    assert missing.code == 2
    assert missing.out == parts[0]
    assert missing.err == f"tarograd: {tmp_path}/four.png: there is no such file\n"


def test_networks_of_other_sizes(tmp_path: Path) -> None:
    model = tmp_path / "net.safetensors"
    tg.save_network(tg.nn.Sequential(tg.nn.Affine(6, 3, init=tg.nn.Normal(1.0))), model)
    wide = np.array([[0, 50, 100], [150, 200, 250]], np.uint8)
    outcome = call("predict", model, write(tmp_path / "a.png", wide))
    expected = softmax(tg.load_network(model).predict(wide.reshape(1, 6))[0])
    np.testing.assert_allclose(answer(outcome)[1], expected, atol=5.1e-5)
    assert len(answer(outcome)[2]) == 2
    message = "b.png: 4×4 pixels; the network takes 6 numbers"
    assert message in refusal("predict", model, write(tmp_path / "b.png", np.zeros((4, 4), "u1")))


def test_a_float64_network(tmp_path: Path) -> None:
    model = tmp_path / "net.safetensors"
    net = tg.nn.TwoLayerNet(64, 5, 10, weight_init_std=1.0).astype(np.float64)
    net.pixel_max = 16
    tg.save_network(net, model)
    np.save(tmp_path / "a.npy", BYTES)
    _, shares, _ = answer(call("predict", model, tmp_path / "a.npy"))
    np.testing.assert_allclose(shares, softmax(net.predict(BYTES.reshape(1, 64))[0]), atol=5.1e-5)


def test_whole_numbers_out_of_range_are_refused(run: Path, tmp_path: Path) -> None:
    for name, array, numbers in (
        ("bright", BYTES.astype(np.int64) * 16, f"0 to {int(BYTES.max()) * 16}"),
        ("negative", -BYTES.astype(np.int16), f"-{BYTES.max()} to 0"),
        (
            "huge",
            np.full((8, 8), 2**64 - 1, np.uint64),
            "18446744073709551615 to 18446744073709551615",
        ),
    ):
        np.save(tmp_path / f"{name}.npy", array)
        assert refusal("predict", run, tmp_path / f"{name}.npy") == (
            f"{tmp_path}/{name}.npy: whole numbers from {numbers}; for this network they have to "
            "lie from 0, black, to 16, white"
        )


def test_the_real_command(run: Path, tmp_path: Path) -> None:
    write(tmp_path / "a.png", GRAY)
    outcome = taro("predict", run, "a.png", folder=tmp_path)
    assert answer(outcome) == answer(call("predict", run, tmp_path / "a.png"))
