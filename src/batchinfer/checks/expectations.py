"""Runs a suite on a Spark frame through Great Expectations.

Owns how the library is called (what is collected, how many jobs it costs) and how its results are
worded. Knows no table and writes nothing. Importing the library takes seconds: `preload` does it
while the JVM starts.

What it costs (10,000 rows, 3 expectations, 2 cores, warm JVM): 4 jobs, 0.4-0.5 s, against 8 jobs
and 0.8 s for the same suite with examples asked for at once. So examples are fetched in a second
pass, of the broken expectations alone. Rows that are unfit for an expectation (`unfit_rows`) are
counted in one more job, and only where there are any is it judged on a frame without them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from batchinfer.checks.findings import Finding, told_result
from batchinfer.checks.judged_rows import JudgedRows
from batchinfer.checks.known_expectations import expectation_arguments
from batchinfer.checks.rows_on_spark import SparkRows
from batchinfer.checks.sentences import jsonable
from batchinfer.checks.suites import Expectation, Suite
from batchinfer.checks.unfit_rows import Misfits, reads_values, unfit_rows, wrong_type
from batchinfer.contracts import CheckReport
from batchinfer.errors import ConfigError
from batchinfer.masking.sensitive_columns import NONE_SENSITIVE, SensitiveColumns

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
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
    thread = threading.Thread(target=import_library, name="great-expectations-import", daemon=True)
    thread.start()
    return thread


def import_library() -> None:
    """Imports Great Expectations. Runs on: driver, or a process of its own beside it."""
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


def run_suite(
    frame: DataFrame, suite: Suite, name: str, sensitive: SensitiveColumns = NONE_SENSITIVE
) -> CheckReport:
    """As `judge_rows`, of the rows of a Spark frame: it is read by a few Spark jobs and never
    collected.
    """
    return judge_rows(SparkRows(frame), suite, name, sensitive)


def judge_rows(
    rows: JudgedRows, suite: Suite, name: str, sensitive: SensitiveColumns = NONE_SENSITIVE
) -> CheckReport:
    """What each expectation of the suite says of the rows, in the suite's order.

    Each result holds `expectation, column, success, observed, unexpected_count, unexpected_percent,
    examples, message`, all JSON-able. An expectation that could not be computed (no such column, a
    type that does not fit) has failed. Where there are no rows, expectations about values hold, and
    those about the table (row count, columns, types) are judged as they stand. A row with NaN fails
    whatever is said of its values. Of sensitive columns, counts are told and no values.

    Runs on: driver.

    Raises:
        ConfigError: an argument value that Great Expectations refuses.
    """
    started = time.monotonic()
    if not suite.expectations:
        return CheckReport(success=True)
    with _alone():
        found = _Run(rows, suite, name).findings()
    results = [
        told_result(item, finding, sensitive)
        for item, finding in zip(suite.expectations, found, strict=True)
    ]
    return CheckReport(
        all(result["success"] for result in results), results, time.monotonic() - started
    )


class _Run:
    """An ephemeral context around the rows: no files, no store, no docs, nothing persisted."""

    def __init__(self, rows: JudgedRows, suite: Suite, name: str) -> None:
        import great_expectations as gx

        self._rows = rows
        self._items = suite.expectations
        self._built: list[Any] = list(build_suite(suite, name).expectations)
        context = gx.get_context(mode="ephemeral")
        variables: Any = context.variables
        variables.progress_bars = {"globally": False, "metric_calculations": False}
        self._batches = rows.batches(context, name)
        # By condition: every broken expectation asks, and Spark answers with a job.
        self._empty: dict[str, bool] = {}

    def findings(self) -> list[Finding]:
        """What was found, in the suite's order."""
        findings: dict[int, Finding] = {}
        for place, item in enumerate(self._items):
            if (reason := wrong_type(self._rows, item)) is not None:
                findings[place] = Finding(False, {}, reason)
        unfit = self._unfit()
        fit = [place for place in range(len(self._items)) if place not in {*unfit, *findings}]
        found = self._judged(self._rows, fit)
        groups: dict[tuple[object, ...], list[int]] = {}
        for place, (rows, count) in unfit.items():
            if "mostly" in expectation_arguments(self._items[place].name).allowed:
                groups.setdefault(rows.key, []).append(place)
            else:
                found[place] = Finding(False, {}, None, count, rows.word)
        for places in groups.values():
            rows, _ = unfit[places[0]]
            judged = self._judged(self._rows.without(rows.mask), places)
            found |= {
                place: _with_unfit(self._items[place], judged[place], *unfit[place])
                for place in places
            }
        findings |= {place: self._of_no_rows(place, one) for place, one in found.items()}
        return [findings[place] for place in range(len(self._items))]

    def _unfit(self) -> dict[int, tuple[Misfits, int]]:
        """Of each expectation that some rows are unfit for: which rows, and how many."""
        groups: dict[str, list[tuple[int, Misfits]]] = {}
        for place, item in enumerate(self._items):
            if (rows := unfit_rows(self._rows, item)) is not None:
                groups.setdefault(self._condition(place), []).append((place, rows))
        found: dict[int, tuple[Misfits, int]] = {}
        for members in groups.values():
            try:
                judged = self._rows_of(members[0][0])
                counts = judged.count([rows.mask for _, rows in members])
            except self._rows.faults:
                if not self._condition(members[0][0]):
                    raise
                # A row_condition that cannot be computed; the library will say so of each.
                continue
            found |= {
                place: (rows, count)
                for (place, rows), count in zip(members, counts, strict=True)
                if count
            }
        return found

    def _condition(self, place: int) -> str:
        condition = getattr(self._built[place], "row_condition", None)
        return "" if condition is None else repr(condition)

    def _rows_of(self, place: int) -> JudgedRows:
        """The rows that an expectation's row_condition leaves."""
        if not self._condition(place):
            return self._rows
        frame = self._rows.frame
        batch = self._batches.get_batch(batch_parameters={"dataframe": frame})
        engine: Any = batch.data.execution_engine
        engine.load_batch_data(_PLACE, frame)
        built = self._built[place]
        return self._rows.with_frame(
            engine.get_domain_records(
                {
                    "batch_id": _PLACE,
                    "column": "any",
                    "row_condition": built.row_condition,
                    "condition_parser": built.condition_parser,
                }
            )
        )

    def _of_no_rows(self, place: int, found: Finding) -> Finding:
        """What was found, or that there were no rows to find anything in."""
        item = self._items[place]
        if found.success or found.unfit or not reads_values(item):
            return found
        columns = set(self._rows.columns)
        if not all(name in columns or name.partition(".")[0] in columns for name in item.columns()):
            return found
        condition = self._condition(place)
        try:
            if condition not in self._empty:
                self._empty[condition] = self._rows_of(place).is_empty()
        except self._rows.faults:
            # A condition that cannot be computed has been told by the library.
            return found
        return Finding(True, {"element_count": 0}) if self._empty[condition] else found

    def _judged(self, rows: JudgedRows, places: Sequence[int]) -> dict[int, Finding]:
        """What the library finds, by place in the suite; with examples of what broke."""
        if not places:
            return {}
        found = self._validated(rows, places, examples=0)
        broken = [place for place, one in found.items() if _has_examples(one.values)]
        return found | self._validated(rows, broken, examples=_EXAMPLES)

    def _validated(
        self, rows: JudgedRows, places: Sequence[int], examples: int
    ) -> dict[int, Finding]:
        if not places:
            return {}
        from great_expectations.exceptions import GreatExpectationsError

        try:
            return self._library_says(rows, places, examples)
        except (
            GreatExpectationsError,
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            # The library ends a whole suite for some faults of one expectation; so whose it is, is
            # found by running each alone.
            if len(places) == 1:
                return {places[0]: Finding(False, {}, _reason(str(error)))}
        return {
            place: finding
            for one in places
            for place, finding in self._validated(rows, [one], examples).items()
        }

    def _library_says(
        self, rows: JudgedRows, places: Sequence[int], examples: int
    ) -> dict[int, Finding]:
        """The library returns results in an order of its own. They are taken from the validator and
        not from a validation definition, whose store wants JSON of values that are none.
        """
        from great_expectations import ExpectationSuite

        batch = self._batches.get_batch(batch_parameters={"dataframe": rows.frame})
        # BASIC never collects more than the examples. A limit of 0 is optimised away, and with it a
        # job an expectation.
        results: Any = batch.validate(
            ExpectationSuite(name="suite", expectations=[self._built[place] for place in places]),
            result_format={"result_format": "BASIC", "partial_unexpected_count": examples},
        ).results
        return {one.expectation_config.meta[_PLACE]: _plain(one, rows) for one in results}


def _plain(result: Any, rows: JudgedRows) -> Finding:
    """One of the library's results in Python's own values: it holds NumPy's, dates and NaN."""
    raised = _raised(result)
    values = jsonable(rows.plain(result.result or {}))
    if not values.get("element_count", 1):
        # Of no rows one engine counts none, and the other does not count.
        values.pop("unexpected_count", None)
    return Finding(bool(result.success) and raised is None, values, raised)


def _has_examples(values: Mapping[str, Any]) -> bool:
    return bool(
        values.get("unexpected_count")
        or (values.get("missing_count") and "partial_missing_list" in values)
    )


def _with_unfit(item: Expectation, found: Finding, rows: Misfits, count: int) -> Finding:
    """What was found of the fit rows, and of the others that they are not as expected."""
    values = dict(found.values)
    values["element_count"] = (values.get("element_count") or 0) + count
    values["unexpected_count"] = (values.get("unexpected_count") or 0) + count
    judged = values["element_count"] - (values.get("missing_count") or 0)
    values["unexpected_percent"] = 100 * values["unexpected_count"] / judged
    share = (judged - values["unexpected_count"]) / judged
    holds = found.raised is None and share >= item.arguments.get("mostly", 1)
    return Finding(holds, values, found.raised, count, rows.word)


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
    return _reason(messages[0])


def _reason(message: str) -> str:
    """The line of an exception's message that says what happened."""
    lines = message.strip().splitlines() or ["no message"]
    # Of an error in a worker, that is the last line of its traceback.
    said = [line for line in lines if line and not line.startswith(" ")]
    worker = lines[0].startswith("An exception was thrown from the Python worker")
    return (said[-1] if worker else lines[0]).removeprefix("Error: ")


@contextlib.contextmanager
def _alone() -> Generator[None]:
    """One suite at a time in this process, with the library's log kept to errors, without NumPy's
    warnings of infinities that pandas computes with, and without the fingerprint of all values that
    the library takes of pandas frames below its threshold: nobody reads it, and it takes longer
    than most suites (`findings/great-expectations-hashes-frames.sh`).
    """
    import numpy as np
    from great_expectations.execution_engine import pandas_execution_engine as pandas_engine

    logger = logging.getLogger("great_expectations")
    with _LOCK, np.errstate(all="ignore"):
        level, threshold = logger.level, pandas_engine.HASH_THRESHOLD
        logger.setLevel(logging.ERROR)
        pandas_engine.HASH_THRESHOLD = 0.0
        try:
            yield
        finally:
            pandas_engine.HASH_THRESHOLD = threshold
            logger.setLevel(level)
