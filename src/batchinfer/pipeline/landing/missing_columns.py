"""Columns that what was read lacks: whether that ends the run, and what is told of it.

Owns `source.columns.missing`. A column that is not there lands as null, so one that was renamed at
its source would be null for good, and nobody would know.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batchinfer.config.sources import HttpSource, JsonSource
from batchinfer.errors import InputError, listed_some
from batchinfer.pipeline.landing.increment import Landing
from batchinfer.pipeline.landing.landing_task import LandingResult
from batchinfer.sources.parsed import FileKeys

_HINT_OF_BOTH = (
    "some of the files that are read have the key and others another one, so one path fits only "
    "some of them; have both: a second column {type: …, path: …} with the other key in "
    "source.schema, and make one of the two by derive with coalesce(first, second), which features "
    "then name; or read the files apart: two pipelines, each with a narrower source.path and a "
    "source.schema of its own; or let such columns be null: source.columns: {missing: warn} (--set "
    "source.columns.missing=warn)"
)
_HINT = (
    "name the key as it stands in the file: {type: …, path: …} in source.schema; or let such "
    "columns be null: source.columns: {missing: warn} (--set source.columns.missing=warn)"
)


def check_json_keys(landing: Landing, results: Iterable[LandingResult]) -> list[str]:
    """What is to be told of keys of the schema that no record of a file has.

    Args:
        results: of the tasks.

    Runs on: driver.

    Raises:
        InputError: every key that looks like one that is missing in its file, or, with `fail`,
            every key that is missing in a file.
    """
    source = landing.source
    if not isinstance(source, JsonSource | HttpSource):
        return []
    files, fine = _files(results)
    rule, optional = source.columns.missing, landing.optional
    problems: list[str] = []
    in_some = False
    warnings: list[str] = []
    lacking: dict[str, tuple[list[str], list[str]]] = {}
    for file, told in files.items():
        for path, (columns, alike) in told.absent.items():
            needed = [name for name in columns if name != optional]
            if columns and not needed:
                continue
            said = f"{file}: no record has the key {path}{_of(needed)}{_instead(alike)}"
            if rule == "fail" or (rule == "auto" and alike):
                problems.append(said)
                has_it = fine or any(path not in other.absent for other in files.values())
                in_some = in_some or bool(alike and has_it)
            elif alike:
                warnings.append(f"{said}; null in its rows")
            else:
                lacking.setdefault(path, (needed, []))[1].append(file)
    if problems:
        raise InputError(listed_some(problems), _HINT_OF_BOTH if in_some else _HINT)
    # Records of JSON may leave keys out; one that no file has is worth a word.
    warnings += [
        f"no record has the key {path}{_of(needed)}: null in all rows"
        for path, (needed, names) in lacking.items()
        if needed and len(names) == len(files) + fine
    ]
    return listed_some(warnings)


def _files(results: Iterable[LandingResult]) -> tuple[dict[str, FileKeys], int]:
    """What all parts of each file tell, and the number of files of which there is nothing to
    tell.
    """
    files: dict[str, FileKeys] = {}
    fine = 0
    for result in results:
        fine += result.fine_files
        for file, told in result.keys.items():
            files.setdefault(file, FileKeys()).add(told)
    return files, fine


def _of(columns: Sequence[str]) -> str:
    if not columns:
        return ", whose list source.options.explode names"
    return f" (column{'s' if len(columns) > 1 else ''} {', '.join(columns)})"


def _instead(alike: Sequence[str]) -> str:
    return f", but {' and '.join(alike)}" if alike else ""
