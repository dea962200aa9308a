"""Which expectations Great Expectations offers, and which arguments each takes, without importing
it.

Importing the package takes seconds, and a wrong suite must be told before anything is started. So
the names and fields are read from the package's source: `expectations/core/__init__.py` exports the
names, and the fields of a class are its annotations and those of its bases. To parse that takes 25
ms of every run, so `known_arguments.json` records it for one release; of another it is read anew.
Knows nothing of suites or frames.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from batchinfer.errors import SetupError

# Fields of the base class that belong to the library's own bookkeeping, or would change what is
# collected on the driver.
_RESERVED = frozenset(
    {
        "batch_id",
        "catch_exceptions",
        "id",
        "library_metadata",
        "rendered_content",
        "result_format",
        "windows",
    }
)

# Executors have the package in an archive.
_RECORD = files("batchinfer.checks").joinpath("known_arguments.json")
_NO_METRIC = "Great Expectations cannot compute it on Spark"
_ONE_FRAME = "a suite judges one frame and knows no other table"
_NO_ORDER = "the rows of a slice have no order on Spark"

# Expectations of the library that a suite cannot use, each with the reason and what to use.
_REFUSED: Mapping[str, str] = {
    "expect_column_values_to_be_dateutil_parseable": (
        f"{_NO_METRIC}; allowed: expect_column_values_to_match_strftime_format"
    ),
    "expect_column_values_to_match_like_pattern": (
        f"{_NO_METRIC}; allowed: expect_column_values_to_match_regex"
    ),
    "expect_column_values_to_match_like_pattern_list": (
        f"{_NO_METRIC}; allowed: expect_column_values_to_match_regex_list"
    ),
    "expect_column_values_to_not_match_like_pattern": (
        f"{_NO_METRIC}; allowed: expect_column_values_to_not_match_regex"
    ),
    "expect_column_values_to_not_match_like_pattern_list": (
        f"{_NO_METRIC}; allowed: expect_column_values_to_not_match_regex_list"
    ),
    "expect_column_values_to_be_increasing": f"{_NO_ORDER}, so there is no value before another",
    "expect_column_values_to_be_decreasing": f"{_NO_ORDER}, so there is no value before another",
    "expect_multicolumn_values_to_be_unique": (
        f"{_NO_METRIC}; allowed: expect_compound_columns_to_be_unique, "
        "expect_select_column_values_to_be_unique_within_record"
    ),
    "expect_query_results_to_match_comparison": _ONE_FRAME,
    "expect_table_row_count_to_equal_other_table": (
        f"{_ONE_FRAME}; allowed: expect_table_row_count_to_equal"
    ),
    "unexpected_rows_expectation": "no SQL is run on a slice; allowed: the other expectations",
}


@dataclass(frozen=True)
class Arguments:
    """Arguments of one expectation: all that it takes, and those that have no default."""

    allowed: frozenset[str]
    required: frozenset[str]


def _package() -> Path:
    """Folder of Great Expectations, found without executing it."""
    spec = find_spec("great_expectations")
    if spec is None or spec.origin is None:
        raise SetupError(
            "great_expectations is not installed in this environment", hint="make setup"
        )
    return Path(spec.origin).parent / "expectations"


@cache
def expectation_names() -> frozenset[str]:
    """Names of the expectations that the installed release exports, such as
    `expect_column_values_to_be_between`.

    Runs on: driver.

    Raises:
        SetupError: Great Expectations is not installed.
    """
    return frozenset(_recorded()) or _read_names()


def _read_names() -> frozenset[str]:
    core = _package() / "core"
    exports = ast.parse((core / "__init__.py").read_text(encoding="utf-8"))
    modules = {
        str(node.module)
        for node in exports.body
        if isinstance(node, ast.ImportFrom) and node.level == 1
    }
    # A file that is not exported is unfinished work of the library.
    return frozenset(path.stem for path in core.glob("*.py") if path.stem in modules)


def refused_because(name: str) -> str | None:
    """Why a suite cannot use an expectation of the library; None where it can."""
    return _REFUSED.get(name)


@cache
def expectation_arguments(name: str) -> Arguments:
    """Arguments of an expectation that `expectation_names` holds.

    Runs on: driver.

    Raises:
        KeyError: the release has no such expectation.
    """
    if name not in expectation_names():
        raise KeyError(name)
    return _recorded().get(name) or _read_arguments(name)


def record_text() -> str:
    """What the installed release offers, as `known_arguments.json` records it; `make docs` writes
    it there.

    Runs on: driver.
    """
    from importlib.metadata import version

    found = {name: _read_arguments(name) for name in sorted(_read_names())}
    expectations = {
        name: {"allowed": sorted(one.allowed), "required": sorted(one.required)}
        for name, one in found.items()
    }
    record = {"release": version("great_expectations"), "expectations": expectations}
    return json.dumps(record, indent=1) + "\n"


@cache
def _recorded() -> dict[str, Arguments]:
    """The arguments of each expectation; empty where another release is installed than the one that
    was recorded.
    """
    record = json.loads(_RECORD.read_text(encoding="utf-8"))
    if not (_package().parents[1] / f"great_expectations-{record['release']}.dist-info").is_dir():
        return {}
    return {
        name: Arguments(frozenset(one["allowed"]), frozenset(one["required"]))
        for name, one in record["expectations"].items()
    }


def _read_arguments(name: str) -> Arguments:
    tree = ast.parse((_package() / "core" / f"{name}.py").read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    wanted = name.replace("_", "")
    found = next(node for title, node in classes.items() if title.lower() == wanted)
    fields = _fields(found, {**_base_classes(), **classes})
    allowed = {field for field in fields if not field.startswith("_")} - _RESERVED
    return Arguments(frozenset(allowed), frozenset(field for field in allowed if fields[field]))


@cache
def _base_classes() -> dict[str, ast.ClassDef]:
    tree = ast.parse((_package() / "expectation.py").read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _fields(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> dict[str, bool]:
    """Fields of a class and its bases; the value says whether the field must be given."""
    fields: dict[str, bool] = {}
    for base in reversed(node.bases):
        if isinstance(base, ast.Name) and base.id in classes:
            fields |= _fields(classes[base.id], classes)
    return fields | dict(_own_fields(node))


def _own_fields(node: ast.ClassDef) -> Iterator[tuple[str, bool]]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            annotation = ast.unparse(statement.annotation)
            if not annotation.startswith("ClassVar"):
                yield statement.target.id, _is_required(annotation, statement.value)


def _is_required(annotation: str, default: ast.expr | None) -> bool:
    if "Optional" in annotation or "None" in annotation:
        return False
    if default is None:
        return True
    if isinstance(default, ast.Call) and ast.unparse(default.func).endswith("Field"):
        return not default.args and not any(
            word.arg in ("default", "default_factory") for word in default.keywords
        )
    return False
