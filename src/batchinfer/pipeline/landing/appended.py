"""Files that grew (`on_changed: append`): whether they did nothing else, and up to which line they
have been landed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from batchinfer.contracts import SLICE, SOURCE_FILE, SOURCE_LINE
from batchinfer.errors import InputError, listed_some

if TYPE_CHECKING:
    from batchinfer.pipeline.landing.increment import Landing, Listed
    from batchinfer.sources.listing import SourceFile


def check_grown(
    landing: Landing, changed: Sequence[Listed], known: Mapping[str, int | None]
) -> None:
    """Files that changed must still begin with what was landed of them, as far as that can be told.

    Args:
        known: the fingerprint with which each file was landed.

    Runs on: driver.

    Raises:
        InputError: files that became shorter, or whose landed part is another.
    """
    from batchinfer.lake.ledger import landed_sizes

    problems: list[str] = []
    sizes = landed_sizes(landing.table, landing.scope, [file.name for file in changed])
    for file in changed:
        size, landed = sizes[file.name], known[file.name]
        if size is not None and landed is not None and not file.grew_from(size, landed):
            problems.append(
                f"{file.path}: it had {size:,} bytes when it was landed, and is no longer that "
                "with more behind it "
                f"({file.size:,} bytes now)"
            )
    _raise(problems)


def check_whole_lines(landing: Landing, grown: Sequence[SourceFile]) -> None:
    """Files that grew must not go on inside the last line that was landed.

    Runs on: driver.

    Raises:
        InputError: files whose last line was landed before it was whole.
    """
    from batchinfer.lake.ledger import landed_sizes

    sizes = (
        landed_sizes(landing.table, landing.scope, [file.name for file in grown]) if grown else {}
    )
    _raise(
        [
            f"{file.path}: its last line (up to byte {size:,}) was landed before it was whole"
            for file in grown
            if (size := sizes[file.name]) is not None and _goes_on(file, size, landing)
        ]
    )


def _raise(problems: list[str]) -> None:
    if problems:
        raise InputError(
            listed_some(problems),
            hint="source.on_changed: append takes files that only grow by whole lines; replace "
            "lands a file anew (--set source.on_changed=replace)",
        )


def _goes_on(file: SourceFile, size: int, landing: Landing) -> bool:
    """Whether what was added stands on the last line that was landed; only plain text can tell."""
    from batchinfer.sources.text.byte_streams import compression_of, is_ascii_compatible

    options = getattr(landing.source, "options", None)
    encoding, compression = (
        getattr(options, "encoding", None),
        getattr(options, "compression", None),
    )
    if (
        encoding is None
        or size == 0
        or not is_ascii_compatible(encoding)
        or compression_of(file.name, compression)
    ):
        return False
    last, added = file.read(size - 1, 1), file.read(size, 1)
    return last != b"\n" and added not in (b"\r", b"\n")


def last_lines(
    landed: str, quarantine: str, names: Sequence[str], slice_: str | None
) -> dict[str, int]:
    """The greatest line of each file among its landed and its published quarantined records; 0
    where there is none.

    Args:
        slice_: the slice that the files were landed for, where slices are ingest dates.

    Runs on: driver, without Spark.
    """
    found = dict.fromkeys(names, 0)
    for name, line in [
        *_lines(landed, names, slice_),
        *_lines(quarantine, names, slice_, published=True),
    ]:
        found[name] = max(found[name], line)
    return found


def _lines(
    uri: str, names: Sequence[str], slice_: str | None, published: bool = False
) -> list[tuple[str, int]]:
    import pyarrow.dataset as ds

    from batchinfer.lake.delta import exists
    from batchinfer.lake.snapshots import open_table
    from batchinfer.lake.table_rows import read_table_rows

    if not exists(uri):
        return []
    wanted = ds.field(SOURCE_FILE).isin(list(names)) & ds.field(SOURCE_LINE).is_valid()
    if slice_ is not None:
        wanted &= ds.field(SLICE) == slice_
    if published:
        wanted &= (ds.field("stage") == "extract") & ds.field("published")
    rows = read_table_rows(open_table(uri), [SOURCE_FILE, SOURCE_LINE], wanted)
    grouped = rows.group_by(SOURCE_FILE).aggregate([(SOURCE_LINE, "max")])
    return list(
        zip(
            grouped[SOURCE_FILE].to_pylist(), grouped[f"{SOURCE_LINE}_max"].to_pylist(), strict=True
        )
    )
