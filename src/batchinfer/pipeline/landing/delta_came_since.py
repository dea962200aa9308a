"""`changes_since: auto` on a Delta source: a slice of a day holds the files that came since the
slice before.

Files, not rows: a file that an update rewrote counts as new with all its rows. What OPTIMIZE
rewrote is read from the files as they came, as long as VACUUM leaves them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from batchinfer.contracts import DataFile
from batchinfer.errors import InputError
from batchinfer.lake.changes import Commit, CommitFile, read_commits
from batchinfer.pipeline.slices.delta_opened import Opened, check_data_files
from batchinfer.pipeline.slices.delta_register import RegisteredSlice

Increment = tuple[list[DataFile], int, bool]


def find_arrivals(
    opened: Opened, known: Mapping[str | None, RegisteredSlice], slice_: str
) -> Increment | None:
    """The files of a slice, their rows, and whether the slice is new or has other files than were
    recorded.

    Args:
        known: slices that were recorded of this table.

    Returns:
        None where later slices are recorded: what came since belongs to them.

    Raises:
        InputError: the log or the files no longer tell what came since the slice before; an earlier
            slice that was never recorded, when later ones are.
    """
    others = {name: entry for name, entry in known.items() if name is not None and name != slice_}
    former = known.get(slice_)
    if any(name > slice_ for name in others):
        if former is None:
            raise InputError(
                f"slice {slice_} would hold what came before slice "
                f"{min(name for name in others if name > slice_)}, which has been recorded; "
                "allowed with changes_since: slices in their order"
            )
        return None
    since = max((entry.version for entry in others.values()), default=None)
    files = opened.files if since is None else _came_since(opened, since)
    fresh = former is None or {file.path for file in former.files or ()} != {
        file.path for file in files
    }
    return sorted(files, key=lambda file: file.path), sum(file.known_rows for file in files), fresh


def _came_since(opened: Opened, since: int) -> list[DataFile]:
    if since > opened.version:
        raise InputError(
            f"{opened.place}: the slice before was recorded at version {since}, and version "
            f"{opened.version} is read now; allowed with changes_since: versions that go up"
        )
    commits = read_commits(opened.place, since, opened.version)
    if commits is None:
        raise InputError(
            f"{opened.place}: its log no longer tells what came between versions {since} and "
            f"{opened.version}; allowed: extract more often than the log is cleaned up "
            "(delta.logRetentionDuration), or no changes_since"
        )
    came = files_that_came(opened.place, commits)
    live = {file.path: file for file in opened.files}
    rewritten = [file for path, file in came.items() if path not in live]
    check_data_files(opened, [file.path for file in rewritten])
    return [live[path] if path in live else _as_listed(opened, file) for path, file in came.items()]


def files_that_came(place: str, commits: Iterable[Commit]) -> dict[str, CommitFile]:
    """Files added since, and not removed again, by path; OPTIMIZE removes none.

    Raises:
        InputError: OPTIMIZE put old and new rows together, and an update rewrote them: which came,
            no file tells any more.
    """
    came: dict[str, CommitFile] = {}
    merged: dict[str, set[str]] = {}
    for commit in commits:
        gone = {file.path for file in commit.removed}
        new = {file.path: file for file in commit.added}
        for path in gone - new.keys():
            came.pop(path, None)
            if merged.get(path, set()) & came.keys():
                raise InputError(
                    f"{place}: version {commit.version} changed rows that OPTIMIZE had put "
                    "together with new ones; allowed with changes_since: extract between OPTIMIZE "
                    "and such a change, or no changes_since"
                )
        # A path that goes and comes in one commit has other rows deleted, and none that are new.
        came |= {path: file for path, file in new.items() if path not in gone or path in came}
        sources = {
            path
            for file in commit.rewritten_from
            for path in (file.path, *merged.get(file.path, ()))
        }
        merged |= {file.path: sources for file in commit.rewritten_to}
    return came


def _as_listed(opened: Opened, file: CommitFile) -> DataFile:
    if file.vector is not None:
        raise InputError(
            f"{opened.place}: {file.path}, which came since the slice before, has deleted rows and "
            "was rewritten by OPTIMIZE; allowed with changes_since: extract before OPTIMIZE"
        )
    partition = opened.logical_partition(file.partition or {})
    return DataFile(file.path, file.size or 0, opened.count_rows(file.path), partition)
