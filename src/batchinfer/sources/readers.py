"""Which functions plan and read which kind of source: the place where a new kind of file is added.

Must not know how any kind is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa

from batchinfer.config.schema import schema_fields
from batchinfer.config.sources import Files, ImageSource, ParquetSource, TextSource
from batchinfer.sources.json.parser import read_json_splits
from batchinfer.sources.listing import SourceFile
from batchinfer.sources.logs.log_parser import read_log_splits
from batchinfer.sources.parsed import BLOCK_BYTES, Parsed
from batchinfer.sources.rescued import is_rescued
from batchinfer.sources.source_splits import ParquetSplit, SourceSplit, TextSplit, WholeFiles
from batchinfer.sources.tables.parquet_contract import parquet_fields
from batchinfer.sources.tables.parquet_reader import plan_parquet_splits, read_parquet_splits
from batchinfer.sources.text.byte_ranges import plan_text_splits
from batchinfer.sources.text.csv_parser import read_csv_splits
from batchinfer.sources.whole_files import plan_whole_files, read_whole_files

_READERS: Mapping[str, Callable[..., Iterator[Parsed]]] = {
    "csv": read_csv_splits,
    "json": read_json_splits,
    "text_log": read_log_splits,
    "parquet": read_parquet_splits,
    "images": read_whole_files,
    "texts": read_whole_files,
}


def read_fields(
    source: Files,
    files: Sequence[SourceFile],
    landed: Mapping[str, pa.DataType] | None = None,
    optional: str | None = None,
) -> Mapping[str, pa.DataType]:
    """Arrow types of the columns of a source: as declared, as they have landed, or as its files
    have them.

    Args:
        landed: columns of the landed table, where there is one.
        optional: a column that files may lack.

    Runs on: driver.

    Raises:
        InputError: files that have to be read for it, and cannot, or whose columns cannot be
            landed.
    """
    if isinstance(source, ParquetSource):
        return parquet_fields(source, files, landed, optional)
    fields = schema_fields(source)
    assert fields is not None
    return fields


def plan_source_splits(
    files: Sequence[SourceFile],
    source: Files,
    fields: Mapping[str, pa.DataType],
    optional: str | None = None,
) -> list[TextSplit] | list[ParquetSplit] | list[WholeFiles]:
    """Splits of files of any kind.

    Args:
        optional: a column that files may lack (the target, in data to be scored).

    Runs on: driver.

    Raises:
        InputError: every file that does not fit the columns, or is damaged.
    """
    if isinstance(source, ParquetSource):
        return plan_parquet_splits(files, source, fields, optional)
    if isinstance(source, ImageSource | TextSource):
        return plan_whole_files(files)
    return plan_text_splits(files, source, optional=optional)


def read_splits(
    splits: Sequence[SourceSplit],
    source: Files,
    fields: Mapping[str, pa.DataType],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Parsed]:
    """Rows and bad records of splits of any one kind, a block at a time; small files share blocks.

    Runs on: executor.

    Raises:
        InputError: a damaged or changed file.
    """
    # What is rescued is a column that no file has.
    own = {name: type_ for name, type_ in fields.items() if not is_rescued(source, name)}
    return _READERS[source.kind](splits, source, own, block_bytes)
