"""Rules of a pipeline file that span several fields, such as: key columns are columns of the
source.

Owns those that need no other room. They look at the raw document, so that they are told in the same
go as wrong types: each rule keeps quiet where what it needs is not there or not of its kind,
because that is told elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from batchinfer.config.column_rules import (
    Columns,
    check_column_names,
    check_distinct_names,
    check_file_names,
    check_outcome_key,
    check_storable_names,
    check_times,
    declared_columns,
)
from batchinfer.config.difference_rules import check_differences
from batchinfer.config.json_rules import check_json
from batchinfer.config.places import Path, each_name, mapping_at
from batchinfer.config.schema import check_pattern
from batchinfer.config.suggestions import among, did_you_mean, shown
from batchinfer.config.uris import check_place, check_places
from batchinfer.contracts import Problem
from batchinfer.credentials import holds_user, is_secret, keep_secrets, too_short

# What else stands in such a field may be the secret itself, and is not shown.
# Fields that name the variable of a secret; those of users and addresses may hold short ones.
_SECRETS = ("password_env", "auth_env")
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def check_rules(document: dict[Any, Any], root: FilePath) -> list[Problem]:
    """Every rule that the document breaks.

    Args:
        document: a pipeline file's content, references filled in.
        root: folder that its relative paths start at.

    Runs on: driver.
    """
    problems: list[Problem] = []
    columns = declared_columns(document, problems)
    problems += _check_csv(mapping_at(document, "source", "options"))
    problems += check_file_names(mapping_at(document, "source"))
    problems += check_json(mapping_at(document, "source"))
    problems += check_differences(mapping_at(document, "source"))
    problems += _check_changed(mapping_at(document, "source"))
    problems += _check_places(document)
    problems += _check_not_built(document)
    problems += _check_precision(mapping_at(document, "model"))
    problems += _check_target_pattern(mapping_at(document, "train", "target"))
    problems += _check_train_source(document)
    problems += _check_database(document, columns)
    problems += _check_files(mapping_at(document, "checks"), root)
    problems += check_storable_names(document, columns)
    problems += check_outcome_key(document)
    if columns is not None:
        problems += check_distinct_names(document, columns)
        problems += check_times(document, columns)
        problems += check_column_names(document, columns)
    return problems


def _check_target_pattern(target: dict[Any, Any]) -> Iterator[Problem]:
    pattern = target.get("positive_pattern")
    if isinstance(pattern, str):
        try:
            check_pattern(pattern)
        except ValueError as error:
            yield Problem(("train", "target", "positive_pattern"), str(error))


def _check_places(document: dict[Any, Any]) -> Iterator[Problem]:
    """Schemes, and what a URI may not hold. A Delta table is found by those who read Delta's
    log.
    """
    if mapping_at(document, "source").get("kind") == "delta":
        return
    for path in (("source", "path"), ("source", "roots"), ("train", "source", "path")):
        places = list(each_name(path, mapping_at(document, *path[:-1]).get(path[-1])))
        for place, text in places:
            yield from _refused(place, check_place, text)
        if path[-1] == "path":
            yield from _refused(path, check_places, [text for _, text in places])


def _refused(path: Path, check: Callable[..., None], *arguments: Any) -> Iterator[Problem]:
    try:
        check(*arguments)
    except ValueError as error:
        yield Problem(path, str(error))


def _check_csv(options: dict[Any, Any]) -> Iterator[Problem]:
    delimiter = options.get("delimiter", ",")
    if isinstance(delimiter, str) and delimiter == options.get("quote", '"'):
        yield Problem(
            ("source", "options", "delimiter"),
            f"got {shown(delimiter)}, which is the quote too; allowed: two that differ",
        )
    if isinstance(delimiter, str) and delimiter == options.get("escape"):
        yield Problem(
            ("source", "options", "escape"),
            f"got {shown(delimiter)}, which is the delimiter too; allowed: two that differ",
        )


def _check_changed(source: dict[Any, Any]) -> Iterator[Problem]:
    """Only lines can be appended to a file: anything else that changed is another file."""
    kind = source.get("kind")
    if source.get("on_changed") == "append" and kind in ("parquet", "images", "texts"):
        message = (
            f"got append, but a file of kind {kind} that changed can only be landed anew; "
            "allowed: fail, replace"
        )
        yield Problem(("source", "on_changed"), message)


def _check_database(document: dict[Any, Any], columns: Columns | None) -> Iterator[Problem]:
    """Columns that order and share out the rows of a database; what of it may be landed in place of
    what.
    """
    source, options = mapping_at(document, "source"), mapping_at(document, "source", "options")
    if source.get("kind") != "jdbc":
        return
    for name in ("partition_column", "watermark"):
        path: Path = ("source", "options", name) if name in options else ("source", name)
        column = options.get(name, source.get(name))
        if isinstance(column, str) and columns is not None and column not in columns:
            yield Problem(path, f"no such column: {among(column, columns)}")
    if source.get("on_changed") == "append":
        message = (
            "got append; allowed for a database: fail, replace (rows that are new are read "
            "by a watermark)"
        )
        yield Problem(("source", "on_changed"), message)


def wrong_variables(document: dict[Any, Any]) -> list[Problem]:
    """The variables that a source names for addresses and secrets, and that are not set, or hold a
    secret that could not be hidden; what else they hold is not looked at.

    Only for commands that read the source: scores need no password of the database that the rows
    once came from.
    """
    return [
        Problem((*path, name), f"variable {variable} {problem}")
        for path, mapping in _of_source(document)
        for name, variable in _variables(mapping)
        if (problem := _wrong_value(name, os.environ.get(variable))) is not None
    ]


def _wrong_value(name: str, value: str | None) -> str | None:
    if not value:
        return "is not set; allowed: set it"
    reason = too_short(value) if name in _SECRETS else None
    return None if reason is None else f"holds {reason}"


def keep_own_secrets(document: dict[Any, Any]) -> list[Problem]:
    """Keeps what the variables hold that the file names for addresses and secrets, so that no text
    shows it, whoever sends it back. Finds nothing wrong.
    """
    stores = document.get("load")
    mappings = [mapping for _, mapping in _of_source(document)]
    mappings += [mapping for _, mapping in _of_notices(document)]
    keep_secrets(
        secret
        for one in mappings
        for _, variable in _variables(one)
        for secret in _with_password(os.environ.get(variable, ""))
    )
    keep_secrets(
        secret
        for one in (stores if isinstance(stores, list) else [])
        if isinstance(one, dict)
        for _, variable in _variables(one)
        for secret in _of_store(os.environ.get(variable, ""))
    )
    return []


def _of_store(address: str) -> tuple[str, ...]:
    """The secrets in a store's address, and itself if it has any: where a store is may be told."""
    parameters = parse_qsl(address.partition("?")[2])
    found = [value for name, value in parameters if is_secret(name)]
    found += _with_password(address)[1:]
    is_open = "://" in address and not found and not holds_user(address)
    return () if is_open else (address, *found)


def wrong_notice_variables(document: dict[Any, Any]) -> list[Problem]:
    """The variables that `notify` names, and that are not set or hold no address of their kind;
    only for the command that sends messages.
    """
    return [
        Problem((*path, name), f"variable {variable} {problem}")
        for path, mapping in _of_notices(document)
        for name, variable in _variables(mapping)
        if (problem := _wrong_address(name, os.environ.get(variable))) is not None
    ]


def _wrong_address(name: str, value: str | None) -> str | None:
    schemes = ("smtp", "smtps") if name == "smtp_env" else ("http", "https")
    try:
        place = urlsplit((value or "").strip())
        if place.scheme in schemes and place.hostname and (place.port or 1) > 0:
            return None
    except ValueError:  # brackets, or a port that is none
        pass
    allowed = " or ".join(f"{scheme}://HOST" for scheme in schemes)
    return f"{'holds no such address' if value else 'is not set'}; allowed: {allowed}"


def _with_password(value: str) -> tuple[str, ...]:
    """The value, and the password in it where it is an address with one."""
    try:
        password = urlsplit(value).password
    except ValueError:
        password = None
    return (value,) if not password else (value, unquote(password))


def _of_notices(document: dict[Any, Any]) -> list[tuple[Path, dict[Any, Any]]]:
    notices = document.get("notify")
    return [
        (("notify", place), one)
        for place, one in enumerate(notices if isinstance(notices, list) else [])
        if isinstance(one, dict)
    ]


def _of_source(document: dict[Any, Any]) -> list[tuple[Path, dict[Any, Any]]]:
    return [(path, mapping_at(document, *path)) for path in (("source",), ("source", "options"))]


def _variables(mapping: dict[Any, Any]) -> Iterator[tuple[str, str]]:
    """The fields that name a variable, each with the variable."""
    for name, variable in mapping.items():
        named = isinstance(name, str) and name.endswith("_env") and isinstance(variable, str)
        if named and _VARIABLE.fullmatch(variable):
            yield name, variable


def _check_not_built(document: dict[Any, Any]) -> Iterator[Problem]:
    variants = mapping_at(document, "model").get("variants")
    if isinstance(variants, list) and variants:
        message = (
            f"got {shown(variants)}; this version scores the champion only; allowed: no variants"
        )
        yield Problem(("model", "variants"), message)


def _check_precision(model: dict[Any, Any]) -> Iterator[Problem]:
    if model.get("precision") == "fp16" and model.get("device") == "cpu":
        yield Problem(
            ("model", "precision"), "got fp16 beside device: cpu; allowed there: float32, bf16"
        )
    if model.get("quantize") != "int8":
        return
    beside = {"precision": ("float32",), "device": ("auto", "cpu"), "compile": (False,)}
    for word, allowed in beside.items():
        if (got := model.get(word, allowed[0])) not in allowed:
            told = ", ".join(map(shown, allowed))
            message = f"got int8 beside {word}: {shown(got)}; allowed there: {told}"
            yield Problem(("model", "quantize"), message)


def _check_train_source(document: dict[Any, Any]) -> Iterator[Problem]:
    """Labelled data of its own is named by a path, so it has to be files or a Delta table."""
    kind = mapping_at(document, "source").get("kind")
    if kind in ("jdbc", "http") and mapping_at(document, "train").get("source") is not None:
        yield Problem(
            ("train", "source"),
            f"got a path beside a source of kind {kind}; allowed: a pipeline of its own for "
            "labelled data",
        )


def _check_files(checks: dict[Any, Any], root: FilePath) -> Iterator[Problem]:
    for name in ("input", "predictions"):
        written = checks.get(name)
        if not isinstance(written, str):
            continue
        file = root / written
        if not _is_file(file):
            near = did_you_mean(file.name, _file_names(file.parent))
            yield Problem(
                ("checks", name),
                f"no such file: got {shown(written)}{near}, looked for at {file}; allowed: an "
                "expectation file",
            )


def _is_file(file: FilePath) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):  # a folder that may not be entered; a name that no file can have
        return False


def _file_names(folder: FilePath) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except (OSError, ValueError):
        return []
