"""Files that are new or changed since they were landed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from batchinfer.config.sources import Files, ParquetSource
from batchinfer.config.uris import join
from batchinfer.errors import ConfigError, InputError, listed_some
from batchinfer.lake.ledger import files_of, landed_files
from batchinfer.pipeline.landing.increment import AnyFile, ChangedFiles, Increment, Landing
from batchinfer.sources.listing import list_files

if TYPE_CHECKING:
    from batchinfer.sources.listing import SourceFile
    from batchinfer.spark.session import OpenSession


def find_new_files(landing: Landing, open_session: OpenSession) -> Increment | None:
    """The files of a source that were never landed, or that changed since; None: there are none.

    Runs on: driver.

    Raises:
        InputError: files that are missing, or that changed and may not (`on_changed: fail`).
    """
    assert isinstance(landing.source, Files)
    changes = find_changes(landing, _list(landing, landing.source))
    if not changes.read:
        return None
    from batchinfer.pipeline.landing.file_increment import file_increment

    return file_increment(landing, landing.source, changes, changes.read, open_session)


def find_changes(landing: Landing, files: Sequence[AnyFile]) -> ChangedFiles[AnyFile]:
    """Which of the listed files are new or changed, by the ledgers of the landed table and of the
    quarantine.

    Runs on: driver.

    Raises:
        InputError: files that changed and may not (`on_changed: fail`), or that did more than grow
            (`append`).
    """
    names = [file.name for file in files]
    known = files_of(landing.known, landing.scope, names)
    quarantined = known_files(landing.context.quarantine, landing.quarantine_scope, names)
    found = {file.name: file.fingerprint() for file in files}
    changed = [file for file in files if known.get(file.name) not in (None, found[file.name])]
    if changed and landing.source.on_changed == "fail":
        raise InputError(
            listed_some([f"{file.path}: it changed after it was landed" for file in changed]),
            hint="allowed with source.on_changed: replace (the file's rows give way to its new "
            "content) or append (a file that only grew: its new lines land), such as --set "
            "source.on_changed=replace",
        )
    if changed and landing.source.on_changed == "append":
        from batchinfer.pipeline.landing.appended import check_grown

        check_grown(landing, changed, known)
    if landing.anew is not None:
        from batchinfer.pipeline.landing.slice_anew import files_of_slice

        return files_of_slice(landing, files, found, known)
    anew = {file.name for file in changed}
    if landing.source.on_changed == "append":
        # An append that ended between its two commits has quarantined records behind the last line
        # landed, and lines between them would be taken for landed: such a file lands anew.
        anew = {name for name in anew if quarantined.get(name) not in (None, known[name])}
    read = [file for file in files if known.get(file.name) != found[file.name]]
    return ChangedFiles(
        read,
        replaced=sorted(anew),
        # What an interrupted run quarantined of a file that is another by now.
        retried=[
            file.name
            for file in read
            if known.get(file.name) is None and quarantined.get(file.name) is not None
        ],
        grown=[file.name for file in changed if file.name not in anew],
        fingerprints={file.name: found[file.name] for file in read},
    )


def _list(landing: Landing, source: Files) -> list[SourceFile]:
    """The files that the source names: by patterns, or by a folder of Parquet files below the lake.

    Raises:
        ConfigError: a Delta table read as plain Parquet files: its folder also holds files that are
            no longer in the table.
    """
    context = landing.context
    if not isinstance(source, ParquetSource):
        return list_files(source.path, context.root, source.roots)
    paths = (
        [join(context.environment.lake, source.table)] if source.table is not None else source.path
    )
    files = list_files(paths, context.root, source.roots)
    folders = {os.path.dirname(file.path) for file in files}
    for folder in {above for name in folders for above in (Path(name), *Path(name).parents)}:
        if (folder / "_delta_log").is_dir():
            raise ConfigError(
                f"source: {folder} is a Delta table; got kind: parquet; allowed: kind: delta"
            )
    return files


def known_files(uri: str, scope: str, names: Sequence[str]) -> Mapping[str, int | None]:
    """The fingerprints that a table's ledger has of source files; empty where there is no table
    yet.
    """
    from batchinfer.lake.delta import exists

    return landed_files(uri, scope, names) if exists(uri) else {}
