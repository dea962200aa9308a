"""A slice that is landed anew (`extract --slice S --force`): which files it is read from, and
whether what comes is what stood there.

Owns the rules by which no row is lost on the way. Reads no file of the landed table: one may be
damaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from batchinfer.contracts import SLICE
from batchinfer.errors import InputError, listed_some
from batchinfer.lake.ledger import files_of_scope, landed_sizes
from batchinfer.pipeline.landing.increment import AnyFile, ChangedFiles, Landing, Listed
from batchinfer.sources.source_splits import SourceSplit, TextSplit

_BACK_HINT = "put the files back where the source names them"
_GONE_HINT = (
    f"{_BACK_HINT}; or --set source.on_changed=replace: the slice is then what its source gives now"
)


def files_of_slice(
    landing: Landing,
    files: Sequence[AnyFile],
    found: Mapping[str, int],
    known: Mapping[str, int | None],
) -> ChangedFiles[AnyFile]:
    """The files that a slice is landed anew from.

    Where slices are ingest dates, all that the source has: a slice is the source as it is. Where
    the data decides, those that have landed, as far as they had: rows of other slices in what came
    since have not landed.

    Args:
        found, known: fingerprints of files as they are, and as they landed.

    Runs on: driver.

    Raises:
        InputError: files that landed in the slice are gone, and may not be (`on_changed`); of those
            that have landed, none is there.
    """
    if not landing.is_part:
        _check_none_gone(landing, found)
        return ChangedFiles(files, (), (), (), found, notes=_others(landing, found, known))
    landed = {name: value for name, value in known.items() if value is not None}
    read = [file for file in files if file.name in landed]
    if not read:
        raise InputError(
            f"slice {landing.anew}: of the files that have landed in {landing.table}, the source "
            "has none",
            _BACK_HINT,
        )
    cut = _cut(landing, read, found, landed)
    whole = {name: value for name, value in found.items() if name not in cut}
    return ChangedFiles(read, (), (), (), landed, cut, _others(landing, whole, known))


def _others(
    landing: Landing, found: Mapping[str, int], known: Mapping[str, int | None]
) -> list[str]:
    """What is to be said of files that are others now than those that landed."""
    others = [name for name, value in found.items() if known.get(name) not in (None, value)]
    return listed_some(
        [
            f"{name}: slice {landing.anew} is landed from what it holds now, which is not what "
            "landed"
            for name in others
        ]
    )


def _check_none_gone(landing: Landing, found: Mapping[str, int]) -> None:
    from batchinfer.lake.delta import exists

    if landing.source.on_changed == "replace" or not exists(landing.table):
        return
    gone = sorted(files_of_scope(landing.table, landing.scope) - found.keys())
    if gone:
        raise InputError(
            listed_some(
                [
                    f"{name}: it landed in slice {landing.ingest_slice}, and the source has it no "
                    "longer"
                    for name in gone
                ]
            ),
            _GONE_HINT,
        )


def _cut(
    landing: Landing,
    files: Sequence[Listed],
    found: Mapping[str, int],
    landed: Mapping[str, int],
) -> dict[str, int]:
    """How many bytes of the files that grew since have landed."""
    changed = [file for file in files if found[file.name] != landed[file.name]]
    sizes = landed_sizes(landing.table, landing.scope, [file.name for file in changed])
    return {
        file.name: size
        for file in changed
        if (size := sizes[file.name]) is not None and file.grew_from(size, landed[file.name])
    }


def cut_splits(splits: Sequence[SourceSplit], cut: Mapping[str, int]) -> list[SourceSplit]:
    """The splits, of files that grew only up to what has landed of them.

    Raises:
        InputError: a file that cannot be read up to there: it is compressed, or no plain lines.
    """
    kept: list[SourceSplit] = []
    for split in splits:
        file = split.files[0]
        size = cut.get(file.name)
        if size is None:
            kept.append(split)
            continue
        if not isinstance(split, TextSplit) or split.end is None:
            raise InputError(
                f"{file.path}: it grew after it was landed, and only lines of plain text "
                "can be read as far as they had landed",
                "extract without --slice and --force lands what is new in it",
            )
        if split.start < size:
            kept.append(replace(split, end=min(split.end, size)))
    return kept


def check_rows(landing: Landing, rows: int) -> list[str]:
    """Holds the rows that are about to land against those that stand there, by the table's log.

    Returns:
        What the report is to say of it.

    Runs on: driver.

    Raises:
        InputError: there are fewer than stand there, and there may not be (`on_changed`).
    """
    from batchinfer.lake.delta import exists, snapshot_files

    table, slice_ = landing.table, landing.anew
    files = snapshot_files(table, {SLICE: slice_}) if exists(table) else []
    before = sum(file.rows or 0 for file in files)
    if rows < before and landing.source.on_changed != "replace":
        raise InputError(
            f"slice {slice_} has {before:,} rows in {table}, and the source gives {rows:,} of them "
            "now: nothing was landed",
            _GONE_HINT,
        )
    if rows == before:
        return []
    return [f"slice {slice_} had {before:,} rows before it was landed anew, and has {rows:,} now"]
