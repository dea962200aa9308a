"""What tasks know of rows that were answered before: the answers, and what made each of them.

Owns how an index of a run reaches this process (mapped where it lies, copied from a store first),
and the columns of lineage of rows that are carried over. How it is built: `known_index`.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Generator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from batchinfer.config.uris import local_path
from batchinfer.inference.known_rows import KnownRows
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.pipeline.reuse.known_index import MADE, KnownIndex
from batchinfer.scratch import process_folder


class CarriedRows(KnownRows):
    """The published rows of an index, and what made each of them.

    Runs on: executor, or the driver for few rows.
    """

    def __init__(self, index: KnownIndex) -> None:
        with _local_files(index) as files:
            super().__init__(files)
        self._columns = {
            name: [json.loads(maker)[place] for maker in self.makers]
            for place, name in enumerate(MADE)
        }

    def lineage(self, known_at: np.ndarray, now: Mapping[str, pa.Scalar]) -> dict[str, pa.Array]:
        """The columns of `MADE` of some rows: of those that are carried over, what made them.

        Args:
            known_at: where each row stands among the known ones; -1: it was scored now.
            now: what is to be said of those.
        """
        carried = known_at >= 0
        code = np.zeros(len(known_at), np.int32)
        code[carried] = self.makers_at(known_at[carried]) + 1
        index = pa.array(code)
        found: dict[str, pa.Array] = {}
        for name, values in self._columns.items():
            type_ = now[name].type
            each = pa.concat_arrays([pa.array([now[name].as_py()], type_), pa.array(values, type_)])
            is_text = pa.types.is_string(type_)
            found[name] = (
                pa.DictionaryArray.from_arrays(index, each) if is_text else each.take(index)
            )
        return found


# The last index that was copied from a store, in this process.
_copied: dict[KnownIndex, CarriedRows] = {}


def open_index(index: KnownIndex) -> CarriedRows:
    """Opens an index for a task. One on a store is copied once a process; one in a folder is not
    kept open longer than it is used, since its room on the disk is free only then.

    Runs on: executor, or the driver for few rows.

    Raises:
        StorageError: it cannot be read.
    """
    if index in _copied:
        return _copied[index]
    _copied.clear()
    with storage_faults(index.place, "read the index"):
        opened = CarriedRows(index)
    if local_path(index.place) is None:
        _copied[index] = opened
    return opened


@contextlib.contextmanager
def _local_files(index: KnownIndex) -> Generator[list[Path]]:
    """The files of an index on this machine: where they are, or copies of a store's, which are gone
    after the block; what is mapped by then stays.
    """
    folder = local_path(index.place)
    if folder is not None:
        yield [folder / file for file in index.files]
        return
    filesystem, root = open_filesystem(index.place)
    copies = process_folder("reuse")
    try:
        for file in index.files:
            with (
                filesystem.open_input_stream(f"{root}/{file}") as source,
                (copies / file).open("wb") as target,
            ):
                shutil.copyfileobj(source, target, 16 * 2**20)
        yield [copies / file for file in index.files]
    finally:
        shutil.rmtree(copies, ignore_errors=True)
