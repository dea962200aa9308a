"""The contract between Parquet files and the columns of a pipeline: every difference is told before
a row is read.

Owns which columns a set of files has, and what does not fit. Must not know how rows are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import types as kinds

from batchinfer.config.schema import schema_fields
from batchinfer.config.sources import ParquetSource
from batchinfer.config.suggestions import did_you_mean
from batchinfer.config.types import spark_name
from batchinfer.contracts import SLICE, SOURCE_FILE, SOURCE_LINE
from batchinfer.errors import InputError
from batchinfer.sources.file_columns import BAD_NAME, Held, WantedColumns, plain_name
from batchinfer.sources.listing import SourceFile
from batchinfer.sources.rescued import is_rescued
from batchinfer.sources.tables.parquet_footers import Footer, read_footers
from batchinfer.sources.tables.parquet_types import fits, landed_type, spelled_type
from batchinfer.sources.tables.partitions import (
    infer_type,
    keeps_text,
    partition_of,
    partition_value,
)

_SHOWN_COLUMNS = 20
_SHOWN_FILES = 20
_BAD_NAME_ALLOWED = "allowed: names without space , ; { } ( ) tab newline ="
_TAKEN = (SLICE, SOURCE_FILE, SOURCE_LINE)


@dataclass(frozen=True)
class ParquetColumns:
    """The columns that a set of files has, as their first one tells them.

    Attributes:
        types: what they land with, by their names in the file; those of folders last.
        refused: of those that cannot land, the types that they have in the file.
        names: of all, in the file's order.
    """

    first: SourceFile
    types: Mapping[str, pa.DataType]
    refused: Mapping[str, pa.DataType]
    names: Sequence[str]


def parquet_fields(
    source: ParquetSource,
    files: Sequence[SourceFile],
    landed: Mapping[str, pa.DataType] | None,
    optional: str | None,
) -> dict[str, pa.DataType]:
    """Columns of a Parquet source: as declared, else as landed, else those of the first file.

    Args:
        landed: columns of the landed table, where there is one: a file that came later does not
            change them.
        optional: a column that files may lack; the first file that has it is the first one then.

    Runs on: driver.

    Raises:
        InputError: files that cannot be read; columns that cannot be landed; no file with columns.
    """
    declared = schema_fields(source)
    if declared is not None:
        return declared
    if landed is not None:
        return {name: type_ for name, type_ in landed.items() if not is_rescued(source, name)}
    found = find_parquet_columns(files, optional)
    first, fields = found.first, found.types
    problems = [
        f"{first.path}: column {name!r} is {spelled_type(type_)}, {_cannot_land(type_)}"
        for name, type_ in found.refused.items()
    ]
    problems += _name_problems(first, found.names)
    problems += [
        f"{first.path}: got the name {name!r}; {_BAD_NAME_ALLOWED}"
        for name in _names(fields)
        if BAD_NAME.search(name)
    ]
    if problems or not fields:
        bad = next((name for name in fields if BAD_NAME.search(name)), None)
        raise InputError(
            problems or [f"{first.path}: it has no columns"],
            bad
            and f"give it another name: {plain_name(bad)}: {{type: "
            f"{spelled_type(fields[bad])}, column: {bad!r}}} in source.schema, beside the other "
            "columns",
        )
    return dict(fields)


def find_parquet_columns(
    files: Sequence[SourceFile], optional: str | None = None
) -> ParquetColumns:
    """The columns of the first file and of its folders, those that cannot land apart.

    Args:
        optional: a column that files may lack; the first file that has it is the first one then.

    Runs on: driver.

    Raises:
        InputError: files that cannot be read; no file with columns.
    """
    footers = read_footers(files)
    read = [file for file in files if file.name in footers]
    if not read:
        raise InputError(
            f"{files[0].path}: the source has only files of no bytes, so nobody can tell its "
            "columns; allowed: source.schema"
        )
    first = next((file for file in read if optional in dict(footers[file.name].columns)), read[0])
    types, refused = _stored(first, footers)
    inside = partition_of(first.name)
    values = [partition_of(file.name) for file in read]
    types |= {
        name: infer_type(value.get(name) for value in values)
        for name in inside
        if name not in types
    }
    stored = (name for name, _ in footers[first.name].columns)
    return ParquetColumns(first, types, refused, tuple(dict.fromkeys([*stored, *inside])))


def _stored(
    first: SourceFile, footers: Mapping[str, Footer]
) -> tuple[dict[str, pa.DataType], dict[str, pa.DataType]]:
    """Types of the first file's own columns, and those that cannot land; a column of nulls only has
    that of the first file where it has values.
    """
    fields: dict[str, pa.DataType] = {}
    refused: dict[str, pa.DataType] = {}
    for name, type_ in footers[first.name].columns:
        found, unsure = type_, name in footers[first.name].unsure
        if kinds.is_null(type_):
            others = (
                (dict(footer.columns).get(name), name in footer.unsure)
                for footer in footers.values()
            )
            known = (
                (other, doubt)
                for other, doubt in others
                if other is not None and not kinds.is_null(other)
            )
            found, unsure = next(known, (type_, False))
        try:
            fields[name] = landed_type(found, unsure)
        except ValueError:
            refused[name] = found
    return fields, refused


def _cannot_land(type_: pa.DataType) -> str:
    if kinds.is_null(type_):
        return "without a value in any file; allowed: its type in source.schema"
    return (
        "which Delta cannot hold; allowed: tinyint, smallint, int, bigint, float, double, "
        "decimal(p,s), string, boolean, binary, date, timestamp, timestamp_ntz, and arrays, maps "
        "and structs of these: cast it where the file is written"
    )


def _names(fields: Mapping[str, pa.DataType]) -> Iterator[str]:
    """Names of columns, and of the fields of structs inside them."""
    for name, type_ in fields.items():
        yield name
        yield from _inner_names(type_)


def _inner_names(type_: pa.DataType) -> Iterator[str]:
    for place in range(type_.num_fields):
        field = type_.field(place)
        if kinds.is_struct(type_):
            yield field.name
        yield from _inner_names(field.type)


def _name_problems(file: SourceFile, names: Sequence[str]) -> Iterator[str]:
    """Names that are taken, or that differ in case only: Spark and Delta tell no case apart."""
    seen = {name: f"a name that every landed table has (its own {name})" for name in _TAKEN}
    for name in names:
        if reason := seen.get(name.lower()):
            yield f"{file.path}: got the column {name!r}, {reason}; allowed: other names"
        seen[name.lower()] = f"which differs from {name!r} in case only"


def check_file_columns(
    files: Sequence[SourceFile],
    footers: Mapping[str, Footer],
    source: ParquetSource,
    fields: Mapping[str, pa.DataType],
    optional: str | None,
) -> dict[str, Held]:
    """Holds every file against the columns: by name, in any order, of the same types but for
    encodings; how each file differs where it may.

    Runs on: driver.

    Raises:
        InputError: every file that differs, with what is missing, what is too much, and each type
            that is another.
    """
    allowed = (
        "source.schema"
        if source.schema_ is not None
        else "what has landed, or stands in the first file"
    )
    wanted = WantedColumns.of(source, fields, optional)
    found: dict[str, Held] = {}
    problems: list[str] = []
    for file in files:
        footer = footers.get(file.name)
        if footer is None:
            continue
        held = wanted.hold(_names_of(file, footer))
        found[file.name] = held
        differences = "; ".join(_differences(file, footer, fields, wanted, held))
        if differences:
            problems.append(f"{file.path}: its columns do not fit {allowed}: {differences}")
        if source.schema_ is None:
            problems += _changed_texts(file, footer, fields)
    if len(problems) > _SHOWN_FILES:
        rest = len(problems) - _SHOWN_FILES
        problems = [*problems[:_SHOWN_FILES], f"{rest:,} more files do not fit either"]
    if problems:
        raise InputError(problems, wanted.hint_of(found.values()))
    return found


def new_types(
    file: SourceFile, footer: Footer, held: Held, files: Sequence[str], rescue: bool
) -> dict[str, str]:
    """Spark SQL types of a file's columns that nobody declared.

    Args:
        files: names of all files: the type of a column in the names of folders is that of all.
        rescue: whether a column of nulls may be there, for it has nothing to keep.

    Raises:
        InputError: types that no table can hold.
    """
    stored, types = dict(footer.columns), dict[str, str]()
    for name in held.new:
        if rescue and name in stored and kinds.is_null(stored[name]):
            continue
        if name not in stored:
            types[name] = spark_name(infer_type(partition_of(each).get(name) for each in files))
            continue
        try:
            types[name] = spark_name(landed_type(stored[name], name in footer.unsure))
        except ValueError as error:
            raise InputError(
                f"{file.path}: column {name!r} is {spelled_type(stored[name])}, "
                f"{_cannot_land(stored[name])}"
            ) from error
    return types


def _names_of(file: SourceFile, footer: Footer) -> list[str]:
    """Names of the columns in a file and in its folders; one that is in both is there once."""
    stored = [name for name, _ in footer.columns]
    return [*stored, *(name for name in partition_of(file.name) if name not in stored)]


def _differences(
    file: SourceFile,
    footer: Footer,
    fields: Mapping[str, pa.DataType],
    wanted: WantedColumns,
    held: Held,
) -> Iterator[str]:
    stored, inside = dict(footer.columns), partition_of(file.name)
    if held.ends:
        missing = [wanted.names[column] for column in held.missing]
        lost = [
            f"{wanted.names[column]!r} ({spelled_type(fields[column])})" for column in held.missing
        ]
        yield from _listed("twice", [repr(name) for name in held.twice])
        yield from _listed("missing", lost)
        told = {
            name: spelled_type(stored[name]) if name in stored else "a folder" for name in held.new
        }
        not_expected = [
            f"{name!r} ({is_})" + did_you_mean(name, missing) for name, is_ in told.items()
        ]
        yield from _listed("not expected", not_expected)
    for column, type_ in fields.items():
        name = wanted.names[column]
        if name in stored and not _fits(stored[name], type_):
            yield f"{name!r} is {spelled_type(stored[name])}; allowed: {spelled_type(type_)}"
        if name in inside:
            try:
                partition_value(inside[name], type_)
            except ValueError as error:
                yield f"{name!r}: {error}"


def _changed_texts(
    file: SourceFile, footer: Footer, fields: Mapping[str, pa.DataType]
) -> Iterator[str]:
    """Folders whose text would land as another one, because the column has landed as a number."""
    stored = dict(footer.columns)
    for name, text in partition_of(file.name).items():
        if name in fields and name not in stored and not keeps_text(text, fields[name]):
            yield (
                f"{file.path}: the folder says {name}={text}, and {name!r} has landed as "
                f"{spelled_type(fields[name])}, which does not keep that text; allowed: whole "
                "numbers written without leading zeros and +, or the column's type in source.schema"
            )


def _fits(got: pa.DataType, wanted: pa.DataType) -> bool:
    try:
        return fits(got, wanted)
    except ValueError:
        return False


def _listed(word: str, found: Sequence[str]) -> Iterator[str]:
    if found:
        rest = len(found) - _SHOWN_COLUMNS
        yield f"{word}: {', '.join(found[:_SHOWN_COLUMNS])}" + (
            f" and {rest:,} more" if rest > 0 else ""
        )
