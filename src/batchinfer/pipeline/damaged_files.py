"""Which files of a pipeline's tables are damaged, and what makes each anew; of a table that is
read in place, which are gone.

Owns the reading of whole tables for that, and the words of what to do. Changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from batchinfer.config.environment import Environment
from batchinfer.config.pipeline import Pipeline
from batchinfer.config.uris import join
from batchinfer.contracts import SLICE
from batchinfer.errors import DamagedFile, InputError, InputMissing, StorageError
from batchinfer.hints import Hint
from batchinfer.lake.table_places import open_filesystem, plain_place, storage_faults
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.table_steps import table_steps
from batchinfer.spark.foreign_files import HINT, MARK

if TYPE_CHECKING:
    from batchinfer.pipeline.slices.delta_register import Register

# Files that are read at once; Arrow reads without Python's lock.
_AT_ONCE = 4
# What Spark says of a file that it could not read; of some damage it does not say which file.
_OF_READING = re.compile(r"FAILED_READ_FILE|org\.apache\.parquet|datasources\.parquet|v2\.parquet")
_OF_DELTA = re.compile(r"org\.apache\.spark\.sql\.delta|_delta_log")
_NAMED = re.compile(r"file:/+[^\s\"']+?\.parquet")
# A condition of Spark, without the words that go before it and the trace behind it.
_CONDITION = re.compile(r"\[(FAILED_READ_FILE\.[A-Z_]+)\] (.*?)(?: SQLSTATE|\n|$)")
_REFUSED = re.compile(rf"{MARK}(.*?)(?: SQLSTATE|\n|$)")
_GONE = "the table's log tells of it, and it is not there"


@dataclass(frozen=True)
class LoggedFile:
    """A file of one of the pipeline's tables, as the table's log tells of it.

    Attributes:
        table: its place; of a file that no log of ours tells of, the file's folder.
        path: in the file system.
        size, rows: None where the log does not tell.
        is_source: the table is another's, and is read in place.
    """

    table: str
    path: str
    size: int | None = None
    rows: int | None = None
    slice: str | None = None
    is_source: bool = False


@dataclass(frozen=True)
class Damage:
    """A damaged file, what is wrong with it, and what to do."""

    table: str
    file: str
    problem: str
    hint: str


@dataclass(frozen=True)
class DeepReport:
    """What was found by reading all files of a pipeline's tables.

    Attributes:
        without_checksums: files of earlier builds and of other writers: what they hold can be read,
            and nothing tells whether it is what was written.
    """

    pipeline: str
    files: int = 0
    bytes: int = 0
    without_checksums: int = 0
    damaged: list[Damage] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return DamagedFile.exit_code if self.damaged else 0

    def to_json(self) -> dict[str, Any]:
        """The JSON line: `status` ok or damaged, and one sentence in `errors` for each damaged
        file.
        """
        return {
            **asdict(self),
            "status": "damaged" if self.damaged else "ok",
            "errors": [f"{each.file}: {each.problem}" for each in self.damaged],
        }


def look_deep(context: Context) -> DeepReport:
    """Reads every file of the pipeline's landed, predictions, quarantine and runs tables, and of a
    table that it reads in place.

    Runs on: driver, without Spark.

    Raises:
        StorageError: a table's log cannot be read, or storage fails.
    """
    from concurrent.futures import ThreadPoolExecutor

    files = [file for table in _tables(context) for file in _files(table)]
    files += _source_files(context)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="deep") as pool:
        found = list(pool.map(_look, files))
    damaged = _damage_of_log(context)
    damaged += [
        Damage(file.table, file.path, problem, _hint(context, file))
        for file, (_, problem) in zip(files, found, strict=True)
        if problem is not None
    ]
    return DeepReport(
        context.name,
        len(files),
        sum(file.size or 0 for file in files),
        sum(not is_sealed and problem is None for is_sealed, problem in found),
        damaged,
    )


@contextmanager
def remedies(context: Context) -> Generator[None]:
    """Adds to the error of a damaged file what makes that file anew, where it is of a table that
    the pipeline reads or writes.

    Raises:
        DamagedFile: as it came, with another hint.
    """
    try:
        yield
    except DamagedFile as error:
        error.hint = remedy(context, error) or error.hint
        raise


def remedy(context: Context, error: DamagedFile) -> str | None:
    """What makes the files anew that an error names; None where they are of no table that the
    pipeline reads or writes.

    Runs on: driver, without Spark.
    """
    try:
        files = [
            file
            for table in (*_tables(context), *_joined(context.environment, context.pipeline))
            for file in _files(table)
        ]
    except StorageError:
        # The damage is the news, and its own hint stands.
        return None
    named = [file for file in files if any(file.path in each for each in error.problems)]
    if not named:
        return None
    more = Hint(context.asked.command("doctor", "--deep"), " names any others")
    return Hint.joined([*dict.fromkeys(_hint(context, file) for file in named), more], "; ")


def damage_behind(context: Context, slice_: str | None, error: BaseException) -> InputError | None:
    """What an error of Spark comes from, if that is a file of a table, or a table's log; None: it
    is something else.

    Looks at the file that Spark names, whosever table it is of; of some damage Spark names none, so
    next at the tables that the run has read: the pipeline's own, the one that it reads in place,
    and those that it joins.

    Runs on: driver.
    """
    text = str(error)
    if refused := _REFUSED.search(text):
        return InputError(refused[1], HINT)
    if not _OF_READING.search(text) and not _OF_DELTA.search(text):
        return None
    try:
        return _of_source_log(context) or _of_files(context, slice_, text)
    except StorageError:
        # Then Spark's own error says more.
        return None


def _of_files(context: Context, slice_: str | None, text: str) -> InputError | None:
    named, rest = _suspects(context, slice_, text)
    for file in (*named, *rest):
        _, problem = _look(file)
        if problem == _GONE and file.is_source:
            return InputMissing(f"no such file: {file.path}")
        if problem is not None:
            return DamagedFile(f"{file.path} is damaged: {problem}", _hint(context, file))
    condition = _CONDITION.search(text)
    if condition is None or not any(file.is_source for file in named):
        return None
    return InputError(f"Spark cannot read a file of the source: [{condition[1]}] {condition[2]}")


def _suspects(
    context: Context, slice_: str | None, text: str
) -> tuple[list[LoggedFile], list[LoggedFile]]:
    """The files that Spark names, and others that it may mean."""
    own = {file.path: file for table in _tables(context) for file in _files(table)}
    read = {
        file.path: file
        for table in _joined(context.environment, context.pipeline)
        for file in _files(table)
    }
    read |= {file.path: file for file in _source_files(context, slice_)}
    named = dict.fromkeys(unquote(urlsplit(uri).path) for uri in _NAMED.findall(text))
    first = [
        own.get(path) or read.get(path) or LoggedFile(path.rpartition("/")[0], path)
        for path in named
    ]
    of_slice = [file for file in own.values() if slice_ is None or file.slice in (slice_, None)]
    return first, [file for file in (*of_slice, *read.values()) if file.path not in named]


def _of_source_log(context: Context) -> DamagedFile | None:
    from batchinfer.lake.log_damage import check_log

    register = _register(context)
    if register is None:
        return None
    try:
        check_log(register.place)
    except DamagedFile as error:
        return error
    return None


def _damage_of_log(context: Context) -> list[Damage]:
    register, found = _register(context), _of_source_log(context)
    if register is None or found is None:
        return []
    log = f"{register.place}/_delta_log"
    return [Damage(register.place, log, problem, str(found.hint)) for problem in found.problems]


def _register(context: Context) -> Register | None:
    """What is recorded of a table that is read in place."""
    from batchinfer.pipeline.slices.delta_register import read_register

    return read_register(context.landed) if context.pipeline.source.is_in_place else None


def _source_files(context: Context, slice_: str | None = None) -> list[LoggedFile]:
    """The files of a table that is read in place, of a slice or of all, at the versions that are
    recorded; none, where there is no such table, or it cannot be opened.
    """
    from batchinfer.pipeline.slices.landed import read_data

    register = _register(context)
    if register is None:
        return []
    try:
        data = read_data(context, [slice_] if slice_ and slice_ in register.entries else None)
    except InputError:
        return []
    places = [join(data.table, file.path) for file in data.files]
    return [
        LoggedFile(data.table, open_filesystem(place)[1], file.size, is_source=True)
        for place, file in zip(places, data.files, strict=True)
    ]


def _tables(context: Context) -> list[str]:
    from batchinfer.lake.delta import exists

    named = (
        context.landed,
        context.landed_for_training,
        context.predictions,
        context.quarantine,
        context.runs,
    )
    return [table for table in dict.fromkeys(named) if exists(table)]


def _joined(environment: Environment, pipeline: Pipeline) -> list[str]:
    """The tables that steps of `prepare` join."""
    from batchinfer.lake.delta import exists
    from batchinfer.prepare.join import Join

    lake = environment.lake
    places = [
        plain_place(join(lake, step.table))
        for step in table_steps(pipeline)
        if isinstance(step, Join)
    ]
    return [place for place in dict.fromkeys(places) if exists(place)]


def _files(table: str) -> list[LoggedFile]:
    from batchinfer.lake.snapshots import snapshot_files

    _, root = open_filesystem(table)
    return [
        LoggedFile(
            table,
            f"{root}/{file.path}",
            file.size,
            file.known_rows,
            file.partition.get(SLICE),
        )
        for file in snapshot_files(table)
    ]


def _look(file: LoggedFile) -> tuple[bool, str | None]:
    """Whether a file has checksums, and what is wrong with it."""
    from batchinfer.checked_parquet import look_at

    filesystem, _ = open_filesystem(file.table)
    try:
        with storage_faults(file.path, "read the file"):
            try:
                found = look_at(filesystem, file.path)
            except FileNotFoundError:
                return False, _GONE
            size = filesystem.get_file_info(file.path).size
    except DamagedFile as error:
        return True, error.problems[0]
    if found.damage is not None:
        return found.is_sealed, found.damage
    if file.size is not None and size != file.size:
        return found.is_sealed, f"it has {size:,} bytes, and {file.size:,} were written"
    if file.rows is not None and found.rows != file.rows:
        return found.is_sealed, f"it has {found.rows:,} rows, and {file.rows:,} were written"
    return found.is_sealed, None


def _hint(context: Context, file: LoggedFile) -> str:
    anew = ("--slice", file.slice, "--force")
    score, extract = (context.asked.command(name, *anew) for name in ("score", "extract"))
    copy = "put the file back from a copy, if there is one"
    if file.is_source:
        return f"{copy}; else have the table's owner take its rows out of the table"
    if file.table == context.predictions:
        return Hint(score, " writes it anew")
    if file.table == context.quarantine:
        return Hint(f"{copy}; records of rows that could not be scored, ", score, " writes anew")
    if file.table == context.runs:
        return f"{copy}; else move the folder {file.table} aside: it is the history of runs only"
    if file.table == context.landed and context.pipeline.source.never_anew is None:
        return Hint(extract, " lands it anew from its source")
    if file.table == context.landed_for_training:
        train = context.asked.command("train")
        return Hint(f"move the folder {file.table} aside, and ", train, " lands it anew")
    if file.table == context.landed:
        return (
            f"{copy}; else move the folder {file.table} aside, extract its slices again, and score "
            "them with --force"
        )
    return f"{copy}; else whoever writes the table {file.table} has to write it anew"
