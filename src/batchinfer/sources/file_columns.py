"""Columns that files have, held against those that are wanted: one rule for CSV and Parquet.

Owns which differences end a run, and what a split says of the others: `missing` (columns that are
null in its rows) and `new` (columns of the file that nobody declared, with their types). Must not
know how a file tells its columns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from batchinfer.config.json_paths import written_path
from batchinfer.config.look_alikes import look_alikes
from batchinfer.config.schema import names_in_files
from batchinfer.config.shapes.source_columns import ColumnRules, SliceColumn
from batchinfer.config.sources import CsvSource, ParquetSource
from batchinfer.config.types import parse_ddl
from batchinfer.contracts import SLICE, SOURCE_FILE, SOURCE_LINE
from batchinfer.errors import InputError, listed_some
from batchinfer.sources.source_splits import ParquetSplit, TextSplit

_TAKEN = (SLICE, SOURCE_FILE, SOURCE_LINE)
# Characters that Delta refuses in names.
BAD_NAME = re.compile(r"[ ,;{}()\n\t=]|^$")
_SHOWN_FILES = 3


@dataclass(frozen=True)
class Held:
    """How the columns of one file differ from those that are wanted.

    Attributes:
        twice: names that stand there more than once.
        missing: columns that the file lacks, but for the one that it may lack.
        new: names that nobody declared.
        alike: of columns that are missing, the new names that look like theirs.
        ends: whether these differences end the run.
        hint: what to do then, of this file alone.
        meant: of columns that are missing, the name that each probably has in the file; of a name
            that Delta cannot store, the one that it could have.
        ways: settings that let the differences be, each enough by itself.
    """

    twice: Sequence[str] = ()
    missing: Sequence[str] = ()
    new: Sequence[str] = ()
    alike: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ends: bool = False
    hint: str | None = None
    meant: Mapping[str, str] = field(default_factory=dict[str, str])
    ways: Sequence[str] = ()


@dataclass(frozen=True)
class NewColumn:
    """A column that nobody declared: a file that has it, its name, and its Spark SQL type."""

    path: str
    name: str
    type: str


@dataclass(frozen=True)
class WantedColumns:
    """The columns that every file should have.

    Attributes:
        names: the name of each column in the files.
        rules: what is allowed to differ.
        optional: a column that files may lack (the target, in data to be scored).
        needed: columns without which no row could land: those of the key and of the slice.
        of_files: whether a schema may give columns other names than they have in the source; for a
            database, a query does.
        types: of the columns that a schema declares, as it does.
    """

    names: Mapping[str, str]
    rules: ColumnRules
    optional: str | None = None
    needed: frozenset[str] = frozenset()
    of_files: bool = True
    types: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(
        cls, source: CsvSource | ParquetSource, columns: Iterable[str], optional: str | None
    ) -> WantedColumns:
        """The columns of a source, under the names that they have in its files."""
        names = names_in_files(source)
        rule = [source.slice.column] if isinstance(source.slice, SliceColumn) else []
        return cls(
            {name: names.get(name, name) for name in columns},
            source.columns,
            optional,
            frozenset([*source.key, *rule]),
            types={name: one.type for name, one in (source.schema_ or {}).items()},
        )

    def hold(self, got: Sequence[str]) -> Held:
        """How the columns of a file differ."""
        wanted, there, rules = set(self.names.values()), set(got), self.rules
        new = list(dict.fromkeys(name for name in got if name not in wanted))
        twice = [
            name
            for name, count in Counter(got).items()
            if count > 1 and (name in wanted or rules.rescue or rules.new != "ignore")
        ]
        gone = {
            column: name
            for column, name in self.names.items()
            if name not in there and column != self.optional
        }
        alike = {
            column: found for column, name in gone.items() if (found := look_alikes(name, new))
        }
        lost = [column for column in gone if self._is_lost(column, alike)]
        nothing = bool(gone) and len(gone) == len(self.names.keys() - {self.optional})
        unwanted = new if rules.new in ("auto", "fail") and not rules.rescue else []
        meant = _meant(lost, gone, alike, new)
        # What no setting lets be missing.
        is_needed = nothing or not self.needed.isdisjoint(lost)
        ways = _let_in(lost, unwanted, is_needed)
        named = [self._named(meant)] if meant else []
        return Held(
            twice,
            list(gone),
            new,
            alike,
            bool(twice or lost or nothing or unwanted),
            "; or ".join([*named, *ways]) or None,
            meant,
            ways,
        )

    def hint_of(self, held: Iterable[Held]) -> str | None:
        """The hint of files that were read together, where some do not fit. Where a column has one
        name in some of them and another one in others, a schema with either name fits only some.
        """
        files = list(held)
        wrong = next((one for one in files if one.ends), None)
        if wrong is None:
            return None
        both = {
            column: name
            for column, name in wrong.meant.items()
            if column in self.names and any(column not in one.missing for one in files)
        }
        if not both or not self.of_files:
            return wrong.hint
        return "; or ".join([self._hint_of_both(both), *wrong.ways])

    def _is_lost(self, column: str, alike: Mapping[str, Sequence[str]]) -> bool:
        if column in self.needed or self.rules.missing == "fail":
            return True
        return self.rules.missing == "auto" and column in alike

    def _named(self, meant: Mapping[str, str]) -> str:
        """What gives columns the names that they have in a file."""
        if not self.of_files:
            selected = ", ".join(f'"{name}" as {column}' for column, name in meant.items())
            return f"name the column by a query: select {selected}"
        typed = ", ".join(self._typed(column, column, name) for column, name in meant.items())
        return f"name the column as it stands in the file: {typed} in source.schema"

    def _typed(self, column: str, like: str, name: str) -> str:
        return f"{column}: {{type: {self.types.get(like, '…')}, column: {name!r}}}"

    def _hint_of_both(self, both: Mapping[str, str]) -> str:
        """What to do where files with the old name and with the new one are read together."""
        column, name = next(iter(both.items()))
        fact = (
            f"some of the files that are read have {self.names[column]!r} and others {name!r}, so "
            "a schema with one of the names fits only some of them"
        )
        apart = (
            "read the files apart: two pipelines, each with a narrower source.path and a "
            "source.schema of its own"
        )
        if needed := self.needed.intersection(both):
            what = ", ".join(sorted(needed))
            return (
                f"{fact}; no setting reads both, because no row lands without {what} (key or "
                f"slice): {apart}; or give the files one name"
            )
        taken = {one.lower() for one in self.names}
        typed, joined = [], []
        for old, new in both.items():
            other = plain_name(new)
            other = f"{other}_2" if other in taken else other
            typed.append(self._typed(other, old, new))
            joined.append(f'{old}_of_both: "coalesce({old}, {other})"')
        fail = ", with source.columns: {missing: warn}" if self.rules.missing == "fail" else ""
        return (
            f"{fact}; have both: {', '.join(typed)} beside the other columns in source.schema"
            f"{fail}, and make one of the two by derive: {{{', '.join(joined)}}}, which features "
            f"then name; or {apart}"
        )


def _meant(
    lost: Sequence[str],
    gone: Iterable[str],
    alike: Mapping[str, Sequence[str]],
    new: Sequence[str],
) -> dict[str, str]:
    """The names that columns probably have in the file, by column."""
    if alike:
        return {column: found[0] for column, found in alike.items()}
    missing = next(iter([*lost, *gone]), None)
    renamed = next((name for name in new if missing or BAD_NAME.search(name)), None)
    return {} if renamed is None else {missing or plain_name(renamed): renamed}


def _let_in(lost: Sequence[str], unwanted: Sequence[str], is_needed: bool) -> list[str]:
    """What lets the differences be; each of these sentences is enough by itself."""
    if unwanted and not lost:
        return [
            "leave new columns out with source.columns: {new: ignore}, keep them in one column "
            "with {rescue: true}, or let them land with {new: add} (--set "
            "source.columns.new=ignore)"
        ]
    if not lost or is_needed:
        return []
    if unwanted:
        return [
            "let missing columns be null and leave new ones out with source.columns: {missing: "
            "warn, new: ignore} (--set source.columns.missing=warn --set "
            "source.columns.new=ignore); {new: add} lands the new ones instead"
        ]
    return ["let missing ones be null with source.columns: {missing: warn}"]


def plain_name(name: str) -> str:
    """A name that Delta can store, made of one that it may not."""
    return re.sub(r"\W+", "_", name).strip("_").lower() or "a_name"


def new_columns(splits: Iterable[TextSplit | ParquetSplit]) -> Iterator[NewColumn]:
    """The columns of files that nobody declared, as their splits tell."""
    for split in splits:
        for name, type_ in split.new.items():
            yield NewColumn(split.file.path, name, type_)


def added_columns(
    new: Iterable[NewColumn],
    fields: Mapping[str, pa.DataType],
    landed: Mapping[str, pa.DataType] | None,
    path: bool = False,
) -> dict[str, pa.DataType]:
    """Types of the columns that land besides those that are wanted (`source.columns.new: add`).

    Args:
        path: whether a schema gives a column's place as a path, as for JSON.

    Runs on: driver.

    Raises:
        InputError: names that Delta cannot store, or that differ from another one in case only;
            columns that have two types.
    """
    found: dict[str, pa.DataType] = {}
    problems: list[str] = []
    taken = {name.lower(): name for name in (*_TAKEN, *fields, *(landed or ()))}
    for column in new:
        name, type_ = column.name, (landed or {}).get(column.name) or parse_ddl(column.type)
        other = taken.setdefault(name.lower(), name)
        if BAD_NAME.search(name):
            place = f"path: {written_path((name,))!r}" if path else f"column: {name!r}"
            problems.append(
                f"{column.path}: the new column {name!r} cannot be added: Delta cannot store the "
                f"name; allowed: {plain_name(name)}: {{type: …, {place}}} in source.schema"
            )
        elif name in fields or name in _TAKEN:
            problems.append(
                f"{column.path}: the new column {name!r} cannot be added: there is a column "
                f"{name!r}, which is another; allowed: another name by source.schema"
            )
        elif other != name:
            problems.append(
                f"{column.path}: the new column {name!r} cannot be added: there is a column "
                f"{other!r}, and Delta tells no case apart; allowed: another name by source.schema"
            )
        elif parse_ddl(column.type) != found.setdefault(name, type_):
            problems.append(
                f"{column.path}: the new column {name!r} is {column.type}, and {found[name]} "
                "elsewhere; allowed: one type in all files and in what has landed"
            )
    if problems:
        raise InputError(listed_some(list(dict.fromkeys(problems))))
    return found


def missing_notes(splits: Iterable[TextSplit | ParquetSplit]) -> list[str]:
    """What is to be told of columns that are null because files lack them."""
    lacking_of = {split.file.name: split.missing for split in splits}
    lacking: dict[str, list[str]] = {}
    for file, missing in lacking_of.items():
        for column in missing:
            lacking.setdefault(column, []).append(file)
    return [
        f"column {column} is missing in {len(names):,} of {len(lacking_of):,} files, such as "
        f"{', '.join(names[:_SHOWN_FILES])}: null in their rows"
        for column, names in lacking.items()
    ]
