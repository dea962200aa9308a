"""What of a source's files a worker reads in one go: values, which travel as JSON.

Must not know how any kind of file is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from batchinfer.sources.listing import SourceFile


@dataclass(frozen=True)
class LineFeeds:
    """The line feeds in a byte range.

    Attributes:
        first: offset of the first one in the file; None: there is none.
        is_last: the range ends with one.
    """

    count: int
    first: int | None
    is_last: bool


@dataclass(frozen=True)
class TextSplit:
    """A text file, or a byte range of one.

    Attributes:
        start, end: offsets; end None: to the end of the stream.
        line: number of the line at `start`, from 1; None: not counted yet.
        compression: that the file's name or the source tells; None: it has none.
        is_stream: it is read from the file's start, and offsets count decompressed UTF-8 text.
        columns: of the file; csv only.
        blank_lines: before its first record.
        missing, new: see `file_columns`.
        is_range: a part of a larger file, whose line feeds have to be counted before it is aligned.
        feeds: those of a range that was counted.
    """

    file: SourceFile
    start: int
    end: int | None
    line: int | None
    compression: str | None = None
    is_stream: bool = False
    columns: tuple[str, ...] = ()
    blank_lines: int = 0
    missing: tuple[str, ...] = ()
    new: Mapping[str, str] = field(default_factory=dict)
    is_range: bool = False
    feeds: LineFeeds | None = None
    kind: Literal["text"] = "text"

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return (self.file,)

    @property
    def bytes(self) -> int:
        return self.file.size if self.end is None else self.end - self.start

    @property
    def first_line(self) -> int:
        """The number of its first line.

        Raises:
            ValueError: it was not counted.
        """
        if self.line is None:
            raise ValueError(f"{self.file.path}: range {self.start} to {self.end} was not counted")
        return self.line


@dataclass(frozen=True)
class ParquetSplit:
    """Neighbouring row groups of a Parquet file.

    Attributes:
        groups: the first row group, and the one behind the last.
        line: number of its first row in the file, from 1.
        bytes: of its data, uncompressed.
        partition: columns in the names of folders, and what these say.
        missing, new: see `file_columns`.
    """

    file: SourceFile
    groups: tuple[int, int]
    line: int
    bytes: int
    partition: Mapping[str, str | None] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    new: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["parquet"] = "parquet"

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return (self.file,)


@dataclass(frozen=True)
class WholeFiles:
    """Files of which each is one record."""

    files: tuple[SourceFile, ...]
    kind: Literal["whole"] = "whole"

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


SourceSplit = Annotated[TextSplit | ParquetSplit | WholeFiles, Field(discriminator="kind")]
