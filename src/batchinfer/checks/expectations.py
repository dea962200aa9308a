"""Runs a suite on a Spark frame through Great Expectations.

Owns how the library is called (what is collected, how many jobs it costs) and how its results are
worded. Knows no table and writes nothing. Importing the library takes seconds: `preload` does it
while the JVM starts.

What it costs (10,000 rows, 3 expectations, 2 cores, warm JVM): 4 jobs, 0.4-0.5 s, against 8 jobs
and 0.8 s for the same suite with examples asked for at once. So examples are fetched in a second
pass, of the broken expectations alone.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from batchinfer.checks.sentences import jsonable, result_sentence
from batchinfer.checks.suites import Expectation, Suite
from batchinfer.contracts import CheckReport
from batchinfer.errors import ConfigError

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.core import ExpectationSuiteValidationResult
    from pyspark.sql import DataFrame

_EXAMPLES = 3
_PLACE = "batchinfer_place"
# The library keeps its current context in a global, so two suites at once would find each other's.
_LOCK = threading.Lock()


def preload() -> threading.Thread:
    """Imports Great Expectations in a thread and returns the thread; `run_suite` needs no join.

    The import takes 3-5 s of one core. Started before the session, it passes while the JVM starts.
    Runs on: driver.
    """
    thread = threading.Thread(target=_import_library, name="great-expectations-import", daemon=True)
    thread.start()
    return thread


def _import_library() -> None:
    import great_expectations  # noqa: F401  # pyright: ignore[reportUnusedImport]


def build_suite(suite: Suite, name: str) -> ExpectationSuite:
    """The library's own suite; its models judge every argument value.

    Runs on: driver.

    Raises:
        ConfigError: values that the library refuses, each with its place.
    """
    from great_expectations import ExpectationSuite

    built, problems = [], []
    for index, item in enumerate(suite.expectations):
        try:
            built.append(_build(item, index))
        except (ValueError, TypeError) as error:
            problems.append(f"{item.place}: {item.name}: {_refusal(error, item.arguments)}")
    if problems:
        raise ConfigError(problems)
    return ExpectationSuite(name=name, expectations=built)


def _build(item: Expectation, index: int) -> Any:
    from great_expectations.expectations.registry import get_expectation_impl

    meta = {**(item.arguments.get("meta") or {}), _PLACE: index}
    kind: Any = get_expectation_impl(item.name)
    return kind(**{**item.arguments, "meta": meta})


def _refusal(error: Exception, arguments: Mapping[str, Any]) -> str:
    """The library's own reason in one line: the first one for each argument."""
    errors: Any = getattr(error, "errors", None)
    if not callable(errors):
        return str(error).splitlines()[0]
    reasons: dict[str, str] = {}
    for found in cast("list[dict[str, Any]]", errors()):
        word = str(found["loc"][0])
        got = f"{word}: got {arguments[word]!r}: " if word in arguments else ""
        # A type that may also be a parameter gives one message for each reading; the first is of
        # the plain value.
        reasons.setdefault(word, f"{got}{found['msg']}")
    return "; ".join(reasons.values())


def run_suite(frame: DataFrame, suite: Suite, name: str) -> CheckReport:
    """What each expectation of the suite says of the frame, in the suite's order.

    Each result holds `expectation, column, success, observed, unexpected_count, unexpected_percent,
    examples, message`, all JSON-able. An expectation that could not be computed (no such column, a
    type that does not fit) has failed. On a frame without rows, expectations about values hold, and
    those about the table (row count, columns) are judged as they stand.

    Runs on: driver; the frame is read by a few Spark jobs and never collected.

    Raises:
        ConfigError: an argument value that Great Expectations refuses.
    """
    started = time.monotonic()
    if not suite.expectations:
        return CheckReport(success=True)
    with _alone():
        run = _Run(frame, name)
        found = run.validate(build_suite(suite, name), examples=0)
        broken = [index for index, result in found.items() if _unexpected(result)]
        if broken:
            some = Suite(suite.path, tuple(suite.expectations[index] for index in broken))
            again = run.validate(build_suite(some, f"{name} examples"), examples=_EXAMPLES)
            found |= {broken[index]: result for index, result in again.items()}
        empty = _needs_rows(suite.expectations, found) and frame.isEmpty()
    columns = set(frame.columns)
    results = [
        _result(item, found[index], empty, columns) for index, item in enumerate(suite.expectations)
    ]
    return CheckReport(
        all(result["success"] for result in results), results, time.monotonic() - started
    )


class _Run:
    """An ephemeral context around one frame: no files, no store, no docs, nothing persisted."""

    def __init__(self, frame: DataFrame, name: str) -> None:
        import great_expectations as gx

        self._frame = frame
        self._context = gx.get_context(mode="ephemeral")
        variables: Any = self._context.variables
        variables.progress_bars = {"globally": False, "metric_calculations": False}
        # persist would cache the whole frame in the executors' memory, for a suite that reads it a
        # few times.
        source = self._context.data_sources.add_spark(name, persist=False)
        self._batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)

    def validate(self, suite: ExpectationSuite, examples: int) -> dict[int, Any]:
        """Results by the expectation's index in the suite; the library returns them in an order of
        its own.
        """
        from great_expectations import ValidationDefinition

        definition = ValidationDefinition(
            name=suite.name, data=self._batch, suite=self._context.suites.add(suite)
        )
        # BASIC never collects more than the examples. A limit of 0 is optimised away, and with it a
        # job an expectation.
        result: ExpectationSuiteValidationResult = self._context.validation_definitions.add(
            definition
        ).run(
            batch_parameters={"dataframe": self._frame},
            result_format={"result_format": "BASIC", "partial_unexpected_count": examples},
        )
        results: list[Any] = list(result.results)
        return {item.expectation_config.meta[_PLACE]: item for item in results}


def _unexpected(result: Any) -> bool:
    return bool((result.result or {}).get("unexpected_count"))


def _about_table(item: Expectation) -> bool:
    return item.name.startswith(("expect_table_", "expect_column_to_exist"))


def _needs_rows(items: Sequence[Expectation], found: dict[int, Any]) -> bool:
    """True if an expectation about values failed, which a frame without rows would explain."""
    return any(
        not found[index].success and not _about_table(item) for index, item in enumerate(items)
    )


def _result(item: Expectation, result: Any, empty: bool, columns: set[str]) -> dict[str, Any]:
    values: dict[str, Any] = dict(result.result or {})
    success = bool(result.success)
    raised = _raised(result)
    there = all(name in columns or name.partition(".")[0] in columns for name in item.columns())
    if empty and there and not _about_table(item):
        success, raised, values = True, None, {"element_count": 0}
    return {
        "expectation": item.name,
        "column": ", ".join(item.columns()) or None,
        "success": success and raised is None,
        "observed": jsonable(values.get("observed_value")),
        "unexpected_count": values.get("unexpected_count"),
        "unexpected_percent": jsonable(values.get("unexpected_percent")),
        "examples": [jsonable(value) for value in values.get("partial_unexpected_list") or ()],
        "message": result_sentence(item, values, success, raised),
    }


def _raised(result: Any) -> str | None:
    """Message of the exception that kept an expectation from being computed, or None."""
    info: dict[str, Any] = result.exception_info or {}
    # Either one entry, or one for each metric that failed.
    entries = (info,) if "raised_exception" in info else tuple(info.values())
    messages = [
        str(entry.get("exception_message")) for entry in entries if entry.get("raised_exception")
    ]
    if not messages:
        return None
    lines = messages[0].strip().splitlines() or ["no message"]
    return lines[0].removeprefix("Error: ")


@contextlib.contextmanager
def _alone() -> Generator[None]:
    """One suite at a time in this process, with the library's log kept to errors."""
    logger = logging.getLogger("great_expectations")
    with _LOCK:
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
