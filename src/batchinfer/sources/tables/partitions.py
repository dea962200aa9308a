"""Columns that stand in the names of folders, as Hive and Spark write them:
`year=2026/country=FR/part.parquet`.

Owns how such names are read, and the types of what they hold. Must not know what is inside a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import unquote_to_bytes

import pyarrow as pa

from batchinfer.errors import InputError
from batchinfer.sources.text.columns import TextRule, convert, type_name

# What Hive and Spark write for null.
NULL_NAME = "__HIVE_DEFAULT_PARTITION__"
# Whole numbers as they are written back: 00501, +5 and -0 are other texts than 501, 5 and 0.
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)

# Text of each partition column of one file, in the order of its folders; None: null.
Partition = Mapping[str, str | None]


def partition_of(name: str) -> dict[str, str | None]:
    """The columns in a file's folders, percent-decoded.

    Args:
        name: `source_file`: relative to the last folder before the first wildcard, so folders above
            that say nothing.

    Raises:
        InputError: a folder that names a column twice, no value, or bytes that are no text.
    """
    found: dict[str, str | None] = {}
    for folder in name.split("/")[:-1]:
        column, equals, value = (_decoded(name, part) for part in folder.partition("="))
        if not equals or not column:
            continue
        if column in found:
            raise InputError(
                f"{name}: its folders name the column {column!r} twice; allowed: each column once"
            )
        if not value:
            raise InputError(
                f"{name}: the folder {folder!r} names no value; allowed: {column}=VALUE, "
                f"{column}={NULL_NAME} for null"
            )
        found[column] = None if value == NULL_NAME else value
    return found


def _decoded(name: str, part: str) -> str:
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: the folder's {part!r} stands for bytes that are not UTF-8; allowed: text, "
            "percent-encoded as UTF-8"
        ) from error


def infer_type(values: Iterable[str | None]) -> pa.DataType:
    """Bigint if every value is a whole number that is written back as it stands, else string, so
    that no value loses a character.
    """
    texts = [value for value in values if value is not None]
    return pa.int64() if texts and all(map(_is_number, texts)) else pa.string()


def _is_number(text: str) -> bool:
    return _WHOLE.fullmatch(text) is not None and -(2**63) <= int(text) < 2**63


def keeps_text(text: str | None, type_: pa.DataType) -> bool:
    """Whether a folder's text comes back from a column of this type: 00501 does not from a number.

    Args:
        type_: one that `infer_type` gives, perhaps for other folders.
    """
    return text is None or not pa.types.is_integer(type_) or _is_number(text)


@lru_cache(maxsize=10_000)
def partition_value(text: str | None, type_: pa.DataType) -> pa.Scalar:
    """The value that a folder's text stands for.

    Raises:
        ValueError: the text does not fit the type.
    """
    if text is None:
        return pa.scalar(None, type_)
    values, wrong = convert(pa.array([text], pa.string()), type_, TextRule())
    if wrong is not None:
        raise ValueError(f"got {text!r} in the name of a folder; allowed: {type_name(type_)}")
    return values[0]
