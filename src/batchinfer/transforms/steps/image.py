"""`image`: encoded pictures as numbers, in place.

Owns decoding, orientation, resizing, cropping and normalising. Nothing is fitted.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import BeforeValidator, Field, field_validator

from batchinfer.config.shapes.described import json_schema
from batchinfer.errors import InputError
from batchinfer.transforms.column import Column
from batchinfer.transforms.step import Json, RowStep, State

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

CHANNELS = 3
# No one needs more to classify a picture; a file of a few kilobytes can ask for terabytes.
MAX_PIXELS = 100_000_000


def _two(value: Any) -> Any:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


def _three(value: Any) -> Any:
    return (
        (value,) * CHANNELS
        if isinstance(value, (int, float)) and not isinstance(value, bool)
        else value
    )


_SIDE: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 4096}
_SIZES = json_schema(
    "pixels from 1 to 4096: one number, or [height, width]",
    _SIDE,
    {"type": "array", "items": _SIDE, "minItems": 2, "maxItems": 2},
)
Side = Annotated[int, Field(ge=1, le=4096)]
Channels = Annotated[
    tuple[float, float, float],
    BeforeValidator(_three),
    json_schema(
        "a number, or a list of three: red, green, blue",
        {"type": "number"},
        {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3},
    ),
]


class Image(RowStep):
    """Pictures in a column of bytes (JPEG, PNG, WebP, GIF, BMP, TIFF …) as vectors of 3 * height *
    width numbers.

    The order is channel (red, green, blue), row, column, so a module gets `features.view(-1, 3,
    height, width)`. Turned as its EXIF says, the picture is scaled, bilinear and by the same factor
    both ways, until it just covers `size` ([height, width], or one number for both), then cropped
    around its middle; values from 0 to 1 become (value - mean) / std of their channel. Grey
    pictures have three equal channels; transparency is dropped; of several frames the first counts;
    16-bit grey is scaled to 8 bits.

    Missing is all zeros. Bytes that are no picture, that end early, or that unfold to more than
    100,000,000 pixels raise an error, which costs the row that has them: in scoring it goes to
    quarantine.

    Attributes:
        size: of the picture that the model gets.
        mean: subtracted from the values of each channel.
        std: that the values of each channel are divided by.
    """

    name: ClassVar[str] = "image"
    accepts: ClassVar[tuple[str, ...]] = ("bytes",)

    size: Annotated[tuple[Side, Side], BeforeValidator(_two), _SIZES]
    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)

    @field_validator("mean", "std")
    @classmethod
    def _finite(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not np.isfinite(values).all():
            raise ValueError("finite numbers, one for each of red, green and blue")
        return values

    @field_validator("std")
    @classmethod
    def _positive(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if min(values) <= 0:
            raise ValueError("numbers above 0, one for each of red, green and blue")
        return values

    @property
    def _width(self) -> int:
        return CHANNELS * self.size[0] * self.size[1]

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        return pa.list_(pa.float32(), self._width)

    def prepare(self, fields: Any, state: State) -> Any:
        mean, std = (
            np.array(values, np.float32)[:, None, None] for values in (self.mean, self.std)
        )
        return np.float32(1 / 255) / std, -mean / std

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        scale, shift = prepared
        for name in self.columns:
            column: Any = frame[name]
            result = np.zeros((len(column), self._width), np.float32)
            for row, value in enumerate(column):
                if value.is_valid:
                    pixels = self._pixels(value.as_buffer(), name)
                    result[row] = (pixels.transpose(2, 0, 1) * scale + shift).reshape(-1)
            frame[name] = result

    def _pixels(self, data: pa.Buffer, name: str) -> np.ndarray:
        """(height, width, 3) uint8.

        Raises:
            InputError: no picture, a damaged one, or one that is too large.
        """
        from PIL import Image as pictures  # noqa: N813 - a module
        from PIL import ImageOps

        try:
            # Pillow only warns of pictures that unfold to much; ours has a limit of its own, which
            # holds before decoding.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", pictures.DecompressionBombWarning)
                with pictures.open(io.BytesIO(data)) as picture:
                    if picture.width * picture.height > MAX_PIXELS:
                        got = f"got {picture.width} x {picture.height} pixels"
                        raise InputError(
                            f"image: column '{name}': {got}; allowed: {MAX_PIXELS:,} in all"
                        )
                    height, width = self.size
                    # JPEG can be decoded at a fraction of its size; twice what is needed loses
                    # nothing that shows.
                    picture.draft("RGB", (2 * max(self.size), 2 * max(self.size)))
                    turned = ImageOps.exif_transpose(picture)
                    return np.asarray(_covering(_rgb(turned), width, height))
        except InputError:
            raise
        except pictures.DecompressionBombError as error:
            raise InputError(
                f"image: column '{name}': {error}; allowed: {MAX_PIXELS:,} pixels in all"
            ) from error
        except Exception as error:
            start = bytes(data[:8]).hex(" ")
            raise InputError(
                f"image: column '{name}': got {data.size} bytes ({start} …) that are no readable "
                f"picture: {error}; allowed: JPEG, PNG, WebP, GIF, BMP, TIFF"
            ) from error

    def vector_names(self, column: str, state: State, width: int, before: list[str]) -> list[str]:
        height, wide = self.size
        return [f"{column}:{c}[{y},{x}]" for c in "rgb" for y in range(height) for x in range(wide)]


def _rgb(picture: Picture) -> Picture:
    from PIL import Image as pictures  # noqa: N813 - a module

    if picture.mode.startswith("I;16") or picture.mode == "I":
        # Pillow would cut what is above 255 off.
        grey = np.clip(np.asarray(picture, np.int64) >> 8, 0, 255).astype(np.uint8)
        picture = pictures.fromarray(grey)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _covering(picture: Picture, width: int, height: int) -> Picture:
    """The middle of the picture at the smallest scale that covers the size."""
    from PIL import Image as pictures  # noqa: N813 - a module

    scale = max(width / picture.width, height / picture.height)
    wide, high = (
        max(width, round(picture.width * scale)),
        max(height, round(picture.height * scale)),
    )
    if (wide, high) != picture.size:
        picture = picture.resize((wide, high), pictures.Resampling.BILINEAR)
    left, top = (wide - width) // 2, (high - height) // 2
    return (
        picture
        if (wide, high) == (width, height)
        else picture.crop((left, top, left + width, top + height))
    )
