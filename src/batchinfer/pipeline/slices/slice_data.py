"""A slice as values: its files, its rows, and the version at which they are read. Reads nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.contracts import SLICE, DataFile


@dataclass(frozen=True)
class ReadingRules:
    """What readers of a table that is read in place have to do to what they read.

    Attributes:
        char: columns that are padded with spaces, and to how many characters: Spark's CHAR(n).
        text_partitions: partition columns of text; an empty one means null.
    """

    char: Mapping[str, int] = field(default_factory=dict)
    text_partitions: tuple[str, ...] = ()


@dataclass(frozen=True)
class SliceData:
    """One slice or several, at one version of the table that they are read from.

    Attributes:
        slices: names of the slices.
        files: their Parquet files, counted.
        version: Delta version that is read.
        changed_at: Delta version at which the slices, or those that steps look back into, last
            changed.
        rows: of the slices; files that hold rows of other slices too have more.
        recorded_at: when the last change was recorded, of a table that is read in place.
        fields: Spark SQL types of the table's columns, of a table that is read in place; None: a
            landed table.
        rules: what is to be done to the columns of such a table.
        rule: how rows of a table that is read in place are told to be of a slice; None: by their
            files alone.
        only_files: the slice is these files, and not all of the version's.
        days: slice of each file, by its path, where the files of a table that is read in place came
            on several days.
        history: slices before these that table transforms look back into.
    """

    table: str
    slices: tuple[str, ...]
    files: list[DataFile]
    version: int
    changed_at: int
    rows: int
    recorded_at: dt.datetime | None = None
    fields: Mapping[str, str] | None = None
    rules: ReadingRules = ReadingRules()
    rule: SliceColumn | None = None
    only_files: bool = False
    history: tuple[str, ...] = ()
    days: Mapping[str, str] = field(default_factory=dict)

    @property
    def slice(self) -> str:
        return ",".join(self.slices)

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def day_of(self, file: DataFile) -> str | None:
        """The slice that a file holds rows of, where slices are days of landing."""
        return self.days.get(file.path, file.partition.get(SLICE))

    @property
    def rows_of_others(self) -> bool:
        """Whether the files hold rows that are of none of the slices."""
        return sum(file.known_rows for file in self.files) != self.rows


@dataclass(frozen=True)
class LandedSlice:
    """One slice that can be scored.

    Attributes:
        changed_at: version of the table that it is read from, at which it last changed, or a slice
            that its rows look back into.
        recorded_at: when that change was recorded, where the table is read in place: the versions
            of such a table may begin anew, or go back where the pipeline asks for an earlier one.
    """

    rows: int
    changed_at: int
    recorded_at: dt.datetime | None = None
