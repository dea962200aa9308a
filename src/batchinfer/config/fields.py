"""The kinds of value that configuration files are made of, each with the words that say what is
allowed.

Owns the small types that the models of pipeline and environment files share. YAML has already told
numbers from text, so nothing is converted here, but for text that came whole from a variable: a
variable can hold only text.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
)

from batchinfer.config.document import read_document
from batchinfer.config.s3 import check_table_place
from batchinfer.config.shapes.described import (
    TEXT,
    WHOLE_FROM_1,
    Described,
    json_schema,
    one_or_more,
)
from batchinfer.config.substitution import FromVariable
from batchinfer.config.units import parse_bytes, parse_duration
from batchinfer.config.uris import NAME_BYTES
from batchinfer.credentials import holds_user
from batchinfer.errors import ConfigError

# MLflow keeps `latest` and `v1`, `v2` … for itself.
_ALIAS = r"(?!(?i:latest|v[0-9]+)(?![\w-]))[A-Za-z][\w-]{0,254}"
MODEL_URI = rf"models:/[^/@]+(@{_ALIAS}|/[0-9]+)"
_PYTHON_CLASS = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"


class NotAllowed(ValueError):
    """A value that a field does not take.

    Attributes:
        allowed: what the field takes, as the end of a sentence.
        secret: whether the value must not be shown, because it may be one.
    """

    def __init__(self, allowed: str, secret: bool = False) -> None:
        super().__init__(allowed)
        self.allowed = allowed
        self.secret = secret


class Strict(Described):
    """Base of all configuration models: unknown fields are errors, values do not change after
    loading.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def unquoted(value: Any) -> Any:
    """What YAML reads in text that came whole from a variable, where that is a number or
    true/false; else the value.
    """
    if not isinstance(value, FromVariable):
        return value
    read = read_document(value, "").value
    return read if isinstance(read, (bool, int, float)) else value


Whole = Annotated[int, BeforeValidator(unquoted), Field(strict=True)]
Positive = Annotated[Whole, Field(ge=1)]
Number = Annotated[float, BeforeValidator(unquoted), Field(strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, BeforeValidator(unquoted), Field(strict=True)]


def one_or_many(value: Any) -> Any:
    """Text as a list of one; a list as it is."""
    if not isinstance(value, (str, list, tuple)):
        raise NotAllowed("text, or a list of texts")
    return [value] if isinstance(value, str) else value


Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(one_or_many),
    one_or_more("a text, or a list of texts", TEXT, 0),
]
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(one_or_many),
    Field(min_length=1),
    one_or_more("a text, or a list of texts", TEXT),
]


def canonical_name(value: bool | float) -> str:
    """A finite number or truth value as the name of a class: `1` for 1 and 1.0, `true`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    # Up to 2**53 every whole number is a float of its own, so its digits mean nothing else.
    if isinstance(value, float) and not (value.is_integer() and abs(value) <= 2**53):
        return repr(value)
    return str(int(value))


def _class_name(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and (isinstance(value, int) or math.isfinite(value)):
        try:
            return canonical_name(value)
        except ValueError as error:  # Python writes out no more than 4300 digits
            raise NotAllowed("a number of up to 4300 digits") from error
    raise NotAllowed("text, a finite number, true or false")


def _class_names(value: Any) -> list[Any] | tuple[Any, ...]:
    if isinstance(value, (str, int, float)):
        return [_class_name(value)]
    if not isinstance(value, (list, tuple)):
        raise NotAllowed("text, a finite number, true or false, or a list of them")
    return value


_SCALARS = ["string", "number", "boolean"]
# Names of classes, kept as text: how a number is spelled there does not matter.
ClassNames = Annotated[
    tuple[Annotated[str, BeforeValidator(_class_name)], ...],
    BeforeValidator(_class_names),
    Field(min_length=1),
    one_or_more("a text, a number, true or false, or a list of them", {"type": _SCALARS}),
]


def _one_character(value: str) -> str:
    if len(value) != 1 or not value.isascii() or value in "\r\n":
        raise NotAllowed("one ASCII character that is no line end")
    return value


def _one_character_or_none(value: str) -> str:
    return value if value == "" else _one_character(value)


_CHARACTER: dict[str, Any] = {"type": "string", "pattern": r"^[\x00-\x09\x0b\x0c\x0e-\x7f]$"}
OneCharacter = Annotated[
    str, AfterValidator(_one_character), json_schema("one ASCII character", _CHARACTER)
]
Quote = Annotated[
    str,
    AfterValidator(_one_character_or_none),
    json_schema('one ASCII character, or "" for none', _CHARACTER, {"const": ""}),
]


def _matching(pattern: str, allowed: str, secret: bool = False) -> AfterValidator:
    def check(value: str) -> str:
        if re.fullmatch(pattern, value, re.ASCII) is None:
            raise NotAllowed(allowed, secret)
        return value

    return AfterValidator(check)


def check_alias(alias: str) -> None:
    """Raises ConfigError where a registry could not give the alias to a version, before anything is
    written.
    """
    if re.fullmatch(_ALIAS, alias, re.ASCII) is None:
        raise ConfigError(
            f"--alias: got {alias!r}; allowed: a letter, then letters, digits, '_' and '-', up to "
            "255 in all; neither 'latest' nor 'v' and a number"
        )


# What editors check of it: not all of them can read the pattern of an alias.
_URI_SHAPE = r"^models:/[^/@]+(@[A-Za-z][A-Za-z0-9_-]*|/[0-9]+)$"
ModelUri = Annotated[
    str,
    _matching(
        MODEL_URI, "models:/NAME@ALIAS or models:/NAME/VERSION, such as models:/income@champion"
    ),
    json_schema("models:/NAME@ALIAS or models:/NAME/VERSION", {**TEXT, "pattern": _URI_SHAPE}),
]
# Folders, tables and leases are named after it, with a few characters more.
Identifier = Annotated[
    str,
    _matching(
        r"[A-Za-z][A-Za-z0-9_-]{0,199}", "a letter, then letters, digits, _ and -, up to 200 in all"
    ),
    json_schema(
        "a letter, then letters, digits, _ and -, up to 200 in all",
        {**TEXT, "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,199}$"},
    ),
]
# Of columns that a pipeline file makes up: expressions can read them without quotes.
ColumnName = Annotated[
    str,
    _matching(
        r"[A-Za-z_][A-Za-z0-9_]{0,199}", "a letter or _, then letters, digits and _, up to 200"
    ),
    json_schema(
        "a letter or _, then letters, digits and _, up to 200",
        {**TEXT, "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,199}$"},
    ),
]
# Whoever writes the secret itself here by mistake must not find it in a log.
VariableName = Annotated[
    str,
    _matching(
        r"[A-Za-z_]\w*",
        "the name of an environment variable, such as REDIS_URL; the secret itself never stands "
        "here",
        secret=True,
    ),
    json_schema(
        "the name of an environment variable", {**TEXT, "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}
    ),
]


_MAIL = r"[^@\s<>,]+@[^@\s<>,]+"
MailAddresses = Annotated[
    tuple[Annotated[str, _matching(_MAIL, "addresses such as a@example.org")], ...],
    BeforeValidator(one_or_many),
    one_or_more("an address such as a@example.org, or a list", {**TEXT, "pattern": f"^{_MAIL}$"}),
]


def _place(value: str) -> str:
    if holds_user(value):
        raise NotAllowed(
            "a place without user and password; credentials by reference, see "
            "docs/object-stores.md",
            secret=True,
        )
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise NotAllowed("a place without control characters")
    if any(len(part.encode()) > NAME_BYTES for part in value.split("/")):
        raise NotAllowed(f"folders whose names have up to {NAME_BYTES} bytes")
    return value


# A path or a URI; it stands in tables, reports and logs.
Place = Annotated[str, AfterValidator(_place), json_schema("a path or a URI", TEXT)]


def _table_place(value: str) -> str:
    check_table_place(value)
    return value


# Where tables and reports can be written.
TablePlace = Annotated[
    str,
    AfterValidator(_place),
    AfterValidator(_table_place),
    json_schema("a path below the lake, or a URI", TEXT),
]


def _encoding(value: str) -> str:
    try:
        # Not codecs.lookup alone: it also knows codecs that are not of text, such as base64.
        "".encode(value)
    except (LookupError, ValueError) as error:
        raise NotAllowed(
            "a text encoding that Python knows, such as utf-8, latin-1, cp1252, utf-16"
        ) from error
    return value


Encoding = Annotated[
    str, AfterValidator(_encoding), json_schema("a text encoding that Python knows", TEXT)
]


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (
        LookupError,
        ValueError,
        OSError,
    ) as error:  # OSError: a folder of the zone database, such as Europe
        raise NotAllowed("a time zone by its IANA name, such as UTC or Europe/Paris") from error
    return value


TimeZone = Annotated[
    str, AfterValidator(_time_zone), json_schema("a time zone by its IANA name", TEXT)
]


def _size(value: Any) -> int:
    size = parse_bytes(unquoted(value))
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise NotAllowed("a number of bytes from 1 up, or a size such as 512KiB, 64MiB, 1GiB")
    return size


SIZE_WORDS = "a number of bytes, or a size such as 512KiB, 64MiB, 1GiB"
_SIZE: dict[str, Any] = {
    **TEXT,
    "pattern": r"^\s*[0-9]{1,15}(\.[0-9]{1,6})?\s*(([KkMmGg][Ii]?)?[Bb])?\s*$",
}
Size = Annotated[int, PlainValidator(_size), json_schema(SIZE_WORDS, WHOLE_FROM_1, _SIZE)]


def _seconds(value: Any) -> int:
    try:
        return parse_duration(unquoted(value))
    except ValueError as error:
        raise NotAllowed(DURATION_WORDS) from error


DURATION_WORDS = "a time with its unit, such as 90s, 30m, 26h or 7d"
_DURATION: dict[str, Any] = {**TEXT, "pattern": r"^\s*[0-9]{1,6}[smhd]\s*$"}
# In seconds.
Duration = Annotated[int, PlainValidator(_seconds), json_schema(DURATION_WORDS, _DURATION)]


def _rows(value: Any) -> int | Literal["auto"]:
    rows = unquoted(value)
    if rows == "auto":
        return "auto"
    if isinstance(rows, int) and not isinstance(rows, bool) and rows >= 1:
        return rows
    raise NotAllowed("auto, or a whole number from 1 up")


def _model_choice(value: Any) -> str | dict[str, str]:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and list(value) == ["python"]:
        target = value["python"]
        if isinstance(target, str) and re.fullmatch(_PYTHON_CLASS, target):
            return value
    raise NotAllowed(
        "the name of a model such as mlp_classifier, or {python: package.module:Class}"
    )


def _setting(value: Any) -> str | int | float | bool:
    if isinstance(value, (str, int, float)):
        return value
    raise NotAllowed("text, a number, true or false")


def _null_as_word(value: Any) -> Any:
    """YAML reads the bare word `null` as nothing, which is what the word says here too."""
    return "null" if value is None else value


Unseen = Annotated[
    Literal["own", "null", "fail"],
    BeforeValidator(_null_as_word),
    WithJsonSchema({"enum": ["own", "null", "fail", None]}),
]
Missing = Annotated[
    Literal["auto", "fail", "warn", "null"],
    BeforeValidator(_null_as_word),
    WithJsonSchema({"enum": ["auto", "fail", "warn", "null", None]}),
]
RowCount = Annotated[
    int | Literal["auto"],
    PlainValidator(_rows),
    json_schema("`auto`, or a whole number from 1 up", {"const": "auto"}, WHOLE_FROM_1),
]
ModelChoice = Annotated[
    str | dict[str, str],
    PlainValidator(_model_choice),
    json_schema(
        "the name of a model, or {python: package.module:Class}",
        TEXT,
        {
            "type": "object",
            "properties": {"python": {**TEXT, "pattern": f"^{_PYTHON_CLASS}$"}},
            "required": ["python"],
            "additionalProperties": False,
        },
    ),
]
Setting = Annotated[str | int | float | bool, PlainValidator(_setting)]
