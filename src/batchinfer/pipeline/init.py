"""`init`: from somebody's own data to a pipeline file that can be trained, and to a project where
there is none. No JVM.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import time
from pathlib import Path

from batchinfer.command_reports import InitReport
from batchinfer.config.project import pipeline_files, project_of, relative
from batchinfer.config.suggestions import shown
from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE
from batchinfer.errors import ConfigError, InputError, StorageError
from batchinfer.pipeline.definition.context import Context
from batchinfer.starting.csv_samples import sample_csv
from batchinfer.starting.found_data import FoundData, find_data
from batchinfer.starting.json_samples import sample_json
from batchinfer.starting.project_folders import ignores_state, make_project
from batchinfer.starting.proposed import Proposal, propose
from batchinfer.starting.proposed_target import propose_target
from batchinfer.starting.sample import DataSample, bad_words, rate_to_allow, too_many
from batchinfer.starting.table_samples import sample_delta, sample_parquet
from batchinfer.starting.written_pipeline import write_pipeline

_SAMPLERS = {
    "csv": sample_csv,
    "json": sample_json,
    "parquet": sample_parquet,
    "delta": sample_delta,
}
_NAME = r"[A-Za-z][A-Za-z0-9_-]{0,199}"


def init_project(
    name: str | None, data: str | None, target: str | None, folder: Path, out: str | None = None
) -> InitReport:
    """Makes the project where there is none at or above `folder`, and, of data, a pipeline file
    `conf/pipelines/NAME.yaml`, which is loaded once before it is there.

    Args:
        name: of the pipeline; None only without data.
        data: a file, a pattern, a folder of Parquet files, or of a Delta table; None: the project
            alone.
        target: the column to learn.
        out: the file to write in place of that one; no project is made then.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: no name, or one that no pipeline can have; a pipeline of that name is there; a
            target that is no column.
        InputError: data that are missing, empty, or that nothing can be made of.
        StorageError: a file cannot be written.
    """
    started = time.perf_counter()
    _check_words(name, data, target, out)
    folder = Path(os.path.abspath(folder))
    found = None if data is None else find_data(data, folder)
    file = None if out is None else _place_of(folder / os.path.expanduser(out))
    project = project_of(folder) if file is None else project_of(file.parent)
    if found is not None and file is None:
        _check_free(str(name), project)
    report = InitReport("", name or "", "ok", project=str(project))
    text, sample, proposal = "", None, None
    if found is not None:
        sample = _sampled(found)
        proposal = propose(sample, propose_target(sample, target) if target is not None else None)
        text = write_pipeline(str(name), sample, proposal, _path_in(project, found))
    if file is None:
        key = "id=17"
        if sample is not None and proposal is not None:
            key = shlex.quote(_first_key(sample, proposal))
        made = make_project(project, name or "churn", key)
        report.created = [relative(one) for one in made]
    if not ignores_state(project):
        report.notes.append(f"{relative(project / '.gitignore')} does not name var/, the state")
    if sample is None or proposal is None:
        report.next = [f"{_program()} init {name or 'NAME'} --from DATA --target COLUMN"]
    else:
        asked = str(name) if file is None else shlex.quote(relative(file))
        file = file or project / "conf" / "pipelines" / f"{name}.yaml"
        _write(file, text)
        report.file = str(file)
        report.created.append(relative(file))
        report.records_read, report.is_whole = sample.records, sample.is_whole
        report.notes += [
            *sample.notes,
            *sample.unread,
            *proposal.notes,
            *([bad_words(sample)] if too_many(sample) else []),
        ]
        report.next = _next(asked, sample, proposal)
    report.seconds = round(time.perf_counter() - started, 3)
    return report


def _sampled(found: FoundData) -> DataSample:
    """What is read of the data; no pipeline file could be changed yet to let differences in."""
    try:
        return _SAMPLERS[found.kind](found)
    except InputError as error:
        if error.hint and "source." in error.hint:
            error.hint = (
                "name files of one shape behind --from; source.columns in the pipeline file says "
                "later what is done with columns that are new or missing"
            )
        raise


def _check_words(name: str | None, data: str | None, target: str | None, out: str | None) -> None:
    if name is not None and re.fullmatch(_NAME, name, re.ASCII) is None:
        raise ConfigError(
            f"init: got the name {shown(name)}; allowed: a letter, then letters, digits, _ and -, "
            "up to 200 in all"
        )
    if data is not None and name is None:
        raise ConfigError("init: got data without a name; allowed: init NAME --from DATA")
    if target is not None and data is None:
        raise ConfigError("init: got --target without data; allowed: init NAME --from DATA")
    if out is not None and data is None:
        raise ConfigError("init: got --out without data; allowed: init NAME --from DATA")


def _place_of(out: Path) -> Path:
    """Where `--out` says that the file is to be, absolute."""
    file = Path(os.path.abspath(out))
    if file.suffix not in (".yaml", ".yml") or not os.path.isdir(file.parent):
        raise ConfigError(
            f"init: --out: got {shown(str(out))}; allowed: a file that ends in .yaml or .yml, in a "
            "folder that is there"
        )
    if os.path.lexists(file):
        raise ConfigError(f"init: {relative(file)} is there already, and is left as it is")
    return file


def _check_free(name: str, project: Path) -> None:
    """A name in any case: file systems may tell none apart, and tables are folders."""
    for file in pipeline_files(project):
        if file.stem.lower() == name.lower():
            raise ConfigError(
                f"init: {relative(file)} is there already, and is left as it is; allowed: another "
                f"name than {name}"
            )


def _path_in(project: Path, found: FoundData) -> str:
    """The path of the data as the file names it: from the project where they lie inside it."""
    try:
        return str(Path(found.path).relative_to(project))
    except ValueError:
        return found.path


def _write(file: Path, text: str) -> None:
    """Writes the file once it is known to load, and never over another one."""
    draft = file.with_name(f".{file.stem}.draft.yaml")
    try:
        draft.write_text(text, encoding="utf-8")
        try:
            _ = Context.open(str(draft))
            os.link(draft, file)
        finally:
            draft.unlink()
    except FileExistsError as error:
        raise ConfigError(
            f"init: {relative(file)} is there already, and is left as it is"
        ) from error
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{relative(file)} cannot be written: {error.strerror}") from error


def _next(asked: str, sample: DataSample, proposal: Proposal) -> list[str]:
    """The commands that come next, as a shell takes them.

    Args:
        asked: the pipeline, as it is named behind `-p`.
    """
    run, allowing = _program(), ""
    if too_many(sample):
        allowing = f" --set checks.max_quarantine_rate={rate_to_allow(sample)}"
    if proposal.target is None or not proposal.steps:
        # A day would be a guess that grows old; a shell knows it.
        return [f'{run} extract -p {asked} --slice "$(date -u +%F)"{allowing}']
    return [
        f"{run} train -p {asked}{allowing}",
        f"{run} score -p {asked}",
        f"{run} lookup -p {asked} --key {shlex.quote(_first_key(sample, proposal))}",
    ]


def _first_key(sample: DataSample, proposal: Proposal) -> str:
    from batchinfer.lookups.key_values import format_key

    by_name = {one.name: one.values for one in sample.columns}
    by_place: dict[str, str | int] = {}
    if sample.first_place is not None:
        by_place = {SOURCE_FILE: sample.first_place[0], SOURCE_LINE: sample.first_place[1]}
    return format_key(
        {
            column: str(by_name[column][0].as_py() if column in by_name else by_place[column])
            for column in proposal.key.columns
        }
    )


def _program() -> str:
    """How this command was called, if it can be called so again."""
    called = sys.argv[0]
    if os.path.basename(called) == "batchinfer":
        found = shutil.which("batchinfer")
        is_found = found is not None and os.path.realpath(found) == os.path.realpath(called)
        return "batchinfer" if is_found else shlex.quote(called)
    if Path(called).parts[-2:] == ("batchinfer", "__main__.py"):
        found = shutil.which("python")
        is_found = found is not None and os.path.abspath(found) == os.path.abspath(sys.executable)
        return f"{'python' if is_found else shlex.quote(sys.executable)} -m batchinfer"
    return "batchinfer"
