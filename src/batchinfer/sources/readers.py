"""Which function reads which kind of source: the place where a new kind is added.

Must not know how any kind is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from batchinfer.config.pipeline import CsvSource, LogSource
from batchinfer.sources.csv_parser import read_csv_split
from batchinfer.sources.log_parser import read_log_split
from batchinfer.sources.parsed import BLOCK_BYTES, Parsed

_READERS: Mapping[str, Callable[..., Iterator[Parsed]]] = {"csv": read_csv_split, "text_log": read_log_split}


def read_split(
    split: dict[str, Any], source: CsvSource | LogSource, fields: Mapping[str, pa.DataType], block_bytes: int = BLOCK_BYTES
) -> Iterator[Parsed]:
    """Rows and bad records of a split of any kind, a block at a time.

    Runs on: executor.

    Raises:
        InputError: a damaged or changed file.
    """
    return _READERS[split["kind"]](split, source, fields, block_bytes)
