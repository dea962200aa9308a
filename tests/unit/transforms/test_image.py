"""Pictures: what the numbers are, whatever the file's format; what is no picture costs its own
row.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from transform_cases import column_batch, fitted, picture, problems_of

from batchinfer.errors import InputError

STEP: dict[str, Any] = {"image": {"columns": "picture", "size": [4, 6]}}


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, **options)
    return data.getvalue()


def matrix(step: dict[str, Any], *values: bytes | None) -> np.ndarray:
    """(rows, 3, height, width) float32."""
    rows = column_batch("picture", list(values))
    height, width = fitted([step]).steps[0].size
    return fitted([step]).matrix(rows).reshape(len(values), 3, height, width)


def test_a_picture_of_the_size_is_its_pixels_scaled_and_normalised() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    got = matrix(STEP, encoded(pixels))[0]
    np.testing.assert_allclose(got, pixels.transpose(2, 0, 1) / 255, atol=1e-6)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    normalised = {"image": {**STEP["image"], "mean": mean, "std": std}}
    expected = (pixels / 255 - mean) / std
    np.testing.assert_allclose(
        matrix(normalised, encoded(pixels))[0], expected.transpose(2, 0, 1), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG"])
def test_every_format_gives_the_picture(kind: str) -> None:
    flat = np.full((8, 12, 3), [200, 100, 50], np.uint8)
    got = matrix(STEP, encoded(flat, kind))[0]
    np.testing.assert_allclose(
        got, np.array([200, 100, 50])[:, None, None] / 255 * np.ones((3, 4, 6)), atol=0.02
    )


def test_it_is_scaled_until_it_covers_and_cropped_around_its_middle() -> None:
    # Left third red, middle green, right blue; three times as wide as high, and asked for a square.
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, :10, 0] = wide[:, 10:20, 1] = wide[:, 20:, 2] = 255
    got = matrix({"image": {"columns": "picture", "size": 10}}, encoded(wide))[0]
    np.testing.assert_array_equal(got[1], np.ones((10, 10)))
    assert not got[0].any() and not got[2].any()


def test_grey_has_three_equal_channels_and_16_bits_are_scaled() -> None:
    grey = np.array([[0, 1], [128, 255]], np.uint8)
    step = {"image": {"columns": "picture", "size": 2}}
    for data in (encoded(grey), encoded(grey.astype(np.uint16) * 257)):
        got = matrix(step, data)[0]
        np.testing.assert_allclose(got, np.stack([grey / 255] * 3), atol=1e-6)


def test_it_is_turned_as_its_exif_says() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise: the top left comes to the top right
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", exif=exif)
    got = matrix({"image": {"columns": "picture", "size": [6, 4]}}, data.getvalue())[0]
    assert got[0, 0, -1] == 1 and got.sum() == 3


def test_missing_is_all_zeros_also_where_zeros_are_no_colour() -> None:
    step = {"image": {**STEP["image"], "mean": 0.5}}
    got = matrix(step, None, encoded(np.zeros((4, 6, 3), np.uint8)))
    assert not got[0].any() and (got[1] == -0.5).all()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        picture()[:40],
        encoded(np.zeros((50, 50, 3), np.uint8), "JPEG")[:-200],
        b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
    ],
    ids=["empty", "text", "png that ends early", "jpeg that ends early", "png header only"],
)
def test_what_is_no_picture_is_told_by_column_and_first_bytes(data: bytes) -> None:
    with pytest.raises(
        InputError, match=r"column 'picture': got \d+ bytes \(.*\) that are no readable picture"
    ):
        matrix(STEP, data)


def test_a_small_file_that_unfolds_to_much_is_refused_before_it_does() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    for side in (10_001, 60_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        bomb = (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
            + chunk(b"IEND", b"")
        )
        with pytest.raises(InputError, match="allowed: 100,000,000"):
            matrix(STEP, bomb)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "'size' is missing"),
        ({"size": 0}, "greater than or equal to 1"),
        ({"size": 4, "std": 0}, "numbers above 0"),
        ({"size": 4, "mean": [0.1, 0.2]}, "mean"),
        ({"size": 4, "mean": float("nan")}, "finite numbers"),
        ({"size": 4, "crop": 2}, "unknown parameter 'crop'"),
    ],
)
def test_parameters_are_refused_in_words(parameters: dict[str, Any], words: str) -> None:
    problems = problems_of({"image": {"columns": "picture", **parameters}})
    assert len(problems) == 1 and (words in problems[0].message or words in problems[0].path)


def test_text_is_no_picture_column() -> None:
    from transform_cases import FIELDS, steps_of

    from batchinfer.transforms import check_steps

    (problem,) = check_steps(steps_of({"image": {"columns": "text", "size": 4}}), FIELDS)
    assert "column 'text' is string; allowed: bytes" in problem.message
    assert pa.types.is_binary(FIELDS["picture"])
