"""Where a Delta table that is read in place lies, and what it holds at the version that the
pipeline asks for.

Owns places, names and versions, and what is said where there is no such thing. Reads the log only,
and no rows.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.config.environment import Environment
from batchinfer.config.sources import DeltaSource
from batchinfer.config.suggestions import did_you_mean
from batchinfer.config.uris import join
from batchinfer.contracts import DataFile
from batchinfer.errors import ConfigError, InputError, InputMissing, StorageError
from batchinfer.lake.table_places import local_path, open_filesystem, plain_place, storage_faults
from batchinfer.pipeline.slices.slice_data import ReadingRules

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

    from batchinfer.checked_parquet import CheckedParquetFile
    from batchinfer.spark.session import OpenSession

_SHOWN = 5


@dataclass(frozen=True)
class Opened:
    """A Delta table at one version.

    Attributes:
        place: path or URI of its folder.
        table: of deltalake, at that version.
    """

    place: str
    table: DeltaTable

    @property
    def version(self) -> int:
        return self.table.version()

    @cached_property
    def id(self) -> str:
        """What tells the table from another that was put into its place."""
        return str(self.table.metadata().id)

    @cached_property
    def partition_columns(self) -> list[str]:
        return list(self.table.metadata().partition_columns)

    @cached_property
    def properties(self) -> Mapping[str, str]:
        return self.table.metadata().configuration

    @cached_property
    def fields(self) -> dict[str, pa.DataType]:
        """The table's columns and their Arrow types, partition columns included, in the table's
        order.
        """
        from batchinfer.lake.snapshots import arrow_schema

        return {field.name: field.type for field in arrow_schema(self.table)}

    @cached_property
    def variants(self) -> list[str]:
        """The columns that are, or hold, values of any type."""
        columns = json.loads(self.table.schema().to_json())["fields"]
        return [each["name"] for each in columns if _names_type(each["type"], "variant")]

    @cached_property
    def rules(self) -> ReadingRules:
        """What is to be done to columns as they are read."""
        import pyarrow as pa

        from batchinfer.lake.snapshots import char_lengths

        text = [name for name in self.partition_columns if pa.types.is_string(self.fields[name])]
        return ReadingRules(char_lengths(self.table), tuple(text))

    @cached_property
    def files(self) -> list[DataFile]:
        """The files of the version, counted.

        Raises:
            InputError: a file that the log does not tell the rows of, and that cannot be read.
        """
        from batchinfer.lake.snapshots import kept_rows, table_files

        kept = kept_rows(self.table)
        return [self._counted(file, kept) for file in table_files(self.table)]

    def _counted(self, file: DataFile, kept: Mapping[str, int]) -> DataFile:
        rows = kept.get(file.path.rpartition("/")[2], file.rows)
        return replace(file, rows=self.count_rows(file.path) if rows is None else rows)

    def physical_name(self, column: str) -> str:
        """The name that a column has in the files and in the log: another one with column
        mapping.
        """
        import pyarrow as pa

        metadata = pa.schema(self.table.schema().to_arrow()).field(column).metadata or {}
        return metadata.get(b"delta.columnMapping.physicalName", column.encode()).decode()

    def logical_partition(self, partition: Mapping[str, str | None]) -> dict[str, str | None]:
        """Partition values of the log, by the table's names; an empty text, and a column that is
        left out, mean null.
        """
        names = {name: self.physical_name(name) for name in self.partition_columns}
        return {name: partition.get(physical) or None for name, physical in names.items()}

    def count_rows(self, path: str) -> int:
        """Rows of a file, as its footer tells.

        Raises:
            InputError: it is gone, or damaged.
        """
        with self._footer(path) as parquet:
            return parquet.metadata.num_rows

    def has_legacy_calendar(self, path: str) -> bool:
        """Whether a file's footer says that its writer counted days in the legacy calendar.

        Raises:
            InputError: it is gone, or damaged.
        """
        from batchinfer.legacy_calendar import calendar_of

        with self._footer(path) as parquet:
            return calendar_of(parquet) is not None

    def _footer(self, path: str) -> CheckedParquetFile:
        import pyarrow as pa

        from batchinfer.checked_parquet import CheckedParquetFile

        filesystem, inner = open_filesystem(join(self.place, path))
        try:
            return CheckedParquetFile(filesystem, inner)
        except (OSError, pa.ArrowException) as error:
            raise InputError(
                f"{self.place}: {path} of version {self.version} cannot be read: {error}"
            ) from error

    @property
    def rows(self) -> int:
        return sum(file.known_rows for file in self.files)


def _names_type(declared: Any, wanted: str) -> bool:
    """Whether a type of the log is this one, or holds it."""
    if not isinstance(declared, dict):
        return declared == wanted
    inside = [
        declared[part] for part in ("elementType", "keyType", "valueType") if part in declared
    ]
    inside += [each["type"] for each in declared.get("fields", ())]
    return any(_names_type(each, wanted) for each in inside)


def find_place(
    environment: Environment, root: Path, source: DeltaSource, open_session: OpenSession
) -> str:
    """The folder of the table: of a path, of a name below the lake, or of a name that Spark's
    catalog knows.

    Runs on: driver; a JVM only for names of the catalog.

    Raises:
        ConfigError: a path outside `source.roots`.
        InputMissing, InputError: the catalog does not know the name, or knows it as no Delta table.
    """
    if source.path is not None:
        place = _absolute(root, source.path)
        _hold_to_roots(place, root, source.roots)
        return place
    name = source.table or ""
    if "/" in name or "." not in name:
        return _absolute(root, join(environment.lake, name))
    return _of_catalog(name, open_session)


def _absolute(root: Path, place: str) -> str:
    if "://" in place and local_path(place) is None:
        return place.rstrip("/")
    local = local_path(place) if place.startswith("file:") else Path(place)
    return os.path.normpath(root / (local or place))


def _hold_to_roots(place: str, root: Path, roots: Sequence[str] | None) -> None:
    allowed = None if roots is None else [os.path.realpath(root / each) for each in roots]
    if allowed is None:
        return
    real = os.path.realpath(place)
    if "://" in place or not any(os.path.commonpath([real, each]) == each for each in allowed):
        raise ConfigError(
            f"source.path: {place} is outside source.roots; allowed: below {', '.join(allowed)}"
        )


def _of_catalog(name: str, open_session: OpenSession) -> str:
    from pyspark.errors import AnalysisException, ParseException

    quoted = ".".join("`" + part.replace("`", "``") + "`" for part in name.split("."))
    try:
        [detail] = open_session().sql(f"DESCRIBE DETAIL {quoted}").collect()
    except (AnalysisException, ParseException) as error:
        fact = str(error).split("\n")[0]
        raise InputMissing(
            f"source.table: Spark's catalog has no table {name} ({fact}); allowed: "
            "catalog.schema.table or schema.table, a name with a slash below the lake, or "
            "source.path"
        ) from error
    if detail["format"] != "delta" or not detail["location"]:
        raise InputError(
            f"source.table: {name} is a table of format {detail['format']}; allowed with kind "
            "delta: Delta tables"
        )
    return plain_place(str(detail["location"]))


def open_source(place: str, source: DeltaSource) -> Opened:
    """The table at the version that the pipeline asks for; without `version` or `as_of`, the
    latest.

    Runs on: driver, without Spark.

    Raises:
        InputMissing: nothing there, or no such version.
        InputError: something else is there, or the version can no longer be read.
        DamagedFile: files of its log are missing or damaged.
        StorageError: the place cannot be reached.
    """
    from batchinfer.lake.log_damage import check_counts, check_log
    from batchinfer.lake.snapshots import exists, open_table

    if os.path.isfile(place) or not exists(place):
        raise _no_table(place)
    check_log(place)
    latest = Opened(place, open_table(place))
    check_counts(latest.table)
    wanted = source.options.version
    if source.options.as_of is not None:
        wanted = _version_as_of(latest, source.options.as_of)
    if wanted is None or wanted == latest.version:
        return latest
    return open_version(latest, wanted)


def open_version(latest: Opened, version: int) -> Opened:
    """An earlier version of a table, with all its files still there.

    Raises:
        InputMissing: no such version yet.
        InputError: a version whose log or files have been cleaned up.
    """
    from batchinfer.lake.snapshots import open_table

    if version > latest.version:
        raise InputMissing(
            f"{latest.place}: got version {version}; allowed: 0 to {latest.version}, the table's "
            "latest"
        )
    try:
        opened = Opened(latest.place, open_table(latest.place, version))
    except StorageError as error:
        raise InputError(
            f"{latest.place}: version {version} can no longer be read: its log has been cleaned "
            f"up; latest: {latest.version}"
        ) from error
    check_data_files(opened, [file.path for file in opened.files])
    return opened


def check_data_files(opened: Opened, paths: Sequence[str]) -> None:
    """Whether files that the latest version may no longer have are still there.

    Raises:
        InputError: VACUUM has taken some of them.
    """
    filesystem, root = open_filesystem(opened.place)
    elsewhere = [path for path in paths if join(root, path) == path]
    here = [path for path in paths if join(root, path) != path]
    with storage_faults(opened.place, "look at the table's files"):
        found = filesystem.get_file_info([f"{root}/{path}" for path in here]) if here else []
        for path in elsewhere:
            other, inner = open_filesystem(path)
            found.append(other.get_file_info(inner))
    gone = [path for path, info in zip([*here, *elsewhere], found, strict=True) if not info.is_file]
    if gone:
        raise InputError(
            f"{opened.place}: version {opened.version} can no longer be read: {len(gone)} of the "
            f"{len(paths)} files are gone (VACUUM removes those of old versions), such as {gone[0]}"
        )


def _version_as_of(latest: Opened, as_of: str) -> int:
    moment = dt.datetime.fromisoformat(as_of)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.timezone.utc)
    with storage_faults(latest.place, "read the table's history"):
        history = latest.table.history()
    # Where the log has times of its own, they count: those of files change with a copy.
    times = {
        int(entry["version"]): entry.get("inCommitTimestamp", entry.get("timestamp"))
        for entry in history
    }
    known = {version: int(at_ms) for version, at_ms in times.items() if at_ms is not None}
    until = [version for version, at_ms in known.items() if at_ms <= moment.timestamp() * 1000]
    if not until:
        first = min(known, default=latest.version)
        at = (
            dt.datetime.fromtimestamp(known[first] / 1000, dt.timezone.utc).isoformat()
            if first in known
            else "unknown"
        )
        raise InputMissing(
            f"{latest.place}: as_of {as_of} is before the first version that the log still has "
            f"({first}, of {at}); allowed: a later time"
        )
    return max(until)


def _no_table(place: str) -> InputError:
    folder = local_path(place)
    try:
        return (
            InputMissing(f"{place}: no such Delta table")
            if folder is None
            else _found_instead(place, folder)
        )
    except PermissionError as error:
        return InputError(
            f"{place} cannot be read: {error.filename}: {error.strerror}; allowed: a folder that "
            "this user may read"
        )


def _found_instead(place: str, folder: Path) -> InputError:
    try:
        # Not `exists`, which takes what may not be looked at for missing.
        os.lstat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return InputMissing(f"{place}: no such Delta table", hint=_near(folder))
    if not folder.is_dir():
        return InputError(
            f"{place} is a file; allowed with kind delta: the folder of a Delta table, the one "
            "that holds _delta_log"
        )
    there = sorted(entry.name for entry in folder.iterdir())
    shown = ", ".join(there[:_SHOWN]) + (
        f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    )
    kind = (
        "; for Parquet files without a log: kind: parquet"
        if any(name.endswith(".parquet") for name in there)
        else ""
    )
    return InputError(
        f"{place} is no Delta table: it has no _delta_log; it holds {shown or 'nothing'}{kind}"
    )


def _near(folder: Path) -> str | None:
    if not folder.parent.is_dir():
        return None
    return (
        did_you_mean(folder.name, [entry.name for entry in folder.parent.iterdir()]).strip(" ()")
        or None
    )
