"""`evaluate`: published predictions against what came true, a model version at a time. No JVM."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute

from batchinfer.command_reports import EvaluateReport, ModelEvaluation
from batchinfer.errors import BatchInferError, InputError
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.evaluation.joined_rows import OUTCOME, Side, join_rows, named_key
from batchinfer.pipeline.evaluation.judges import judge_of
from batchinfer.pipeline.evaluation.last_outcomes import series_of
from batchinfer.pipeline.evaluation.outcomes_table import OutcomesTable, open_outcomes
from batchinfer.pipeline.evaluation.pairs import JudgedPairs, PairJudge
from batchinfer.pipeline.evaluation.predicted_rows import (
    MODEL,
    PredictedRows,
    choose_slices,
    count_quarantined,
    open_predicted,
)
from batchinfer.pipeline.run_record import recorded

if TYPE_CHECKING:
    from typing import Any

    from batchinfer.pipeline.definition.published_words import PublishedWords

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

# Name, version and digest of a model.
_Version = tuple[str, str, str]
_EXAMPLES = 3


@dataclass
class _Found:
    """What was read of a pipeline's predictions and outcomes.

    Attributes:
        predicted: rows of each model version.
        judges: of each model version that has a row with an outcome.
        with_outcome: rows of each that have an outcome.
        others: outcomes of keys that these predictions do not have.
        without_key: outcomes without a whole key.
    """

    predicted: dict[_Version, int] = field(default_factory=dict)
    judges: dict[_Version, PairJudge] = field(default_factory=dict)
    with_outcome: dict[_Version, int] = field(default_factory=dict)
    others: int = 0
    without_key: int = 0


@recorded("evaluate")
def evaluate_predictions(
    context: Context,
    slice_: str | None = None,
    start: str | None = None,
    end: str | None = None,
    as_of: str | None = None,
) -> EvaluateReport:
    """How good published predictions were, by what the pipeline's `outcomes` say.

    Args:
        slice_: one slice, or else all published ones from `start` to `end`, both included.
        as_of: only outcomes known by the end of this day or slice, or at this time.

    Runs on: driver, without Spark; what bounds its memory, `join_rows` and `PairJudge` say.

    Raises:
        ConfigError: no `outcomes`, columns that are not there, slices that cannot be.
        InputMissing: no published slice, or no table of outcomes.
        InputError: no prediction has an outcome; keys of kinds that never match; outcomes of one
            key that differ.
    """
    began = time.perf_counter()
    outcomes = open_outcomes(context, as_of)
    slices = choose_slices(context, slice_, start, end)
    predicted = open_predicted(context, slices)
    report = EvaluateReport(context.run_id, context.name, "evaluated", list(slices), as_of)
    report.predictions, report.predictions_version = predicted.place, predicted.version
    report.outcomes, report.outcomes_version = outcomes.place, outcomes.version
    found = _read(context, predicted, outcomes, report)
    if not found.judges:
        raise InputError(_none_match(found, predicted, outcomes), _none_hint(as_of))
    _tell(report, found)
    for warnings in (report.warnings, *(one.warnings for one in report.models)):
        about = outcomes.settings.value
        warnings[:] = [context.sensitive.of_text(warning, about) for warning in warnings]
    report.rows_quarantined = count_quarantined(context, slices)
    report.seconds = round(time.perf_counter() - began, 3)
    return report


def _read(
    context: Context, predicted: PredictedRows, outcomes: OutcomesTable, report: EvaluateReport
) -> _Found:
    found = _Found()
    key_types = tuple(outcomes.types[name] for name in outcomes.key)
    # A table that does not tell how many rows it has is taken to have as many as the predictions.
    rows = predicted.rows if outcomes.rows is None else outcomes.rows
    own = Side(
        predicted.place, predicted.key, predicted.key_types, predicted.batches(), predicted.rows
    )
    came = Side(outcomes.place, outcomes.key, key_types, outcomes.batches(), rows)
    target = context.pipeline.train.target if context.pipeline.train is not None else None
    value = outcomes.settings.value
    series = series_of(context.pipeline)
    for part in join_rows(own, came, _several_hint(outcomes), series=series):
        found.others += part.others
        found.without_key += part.without_key
        for version, rows_of in _by_version(part.rows):
            found.predicted[version] = found.predicted.get(version, 0) + rows_of.num_rows
            known = rows_of.filter(pc.is_valid(rows_of[OUTCOME]))
            if not known.num_rows:
                continue
            if version not in found.judges:
                words = _words(context, version, report)
                found.judges[version] = judge_of(
                    predicted.types, outcomes.types[value], words, target, value, predicted.outputs
                )
                found.judges[version].last = "" if series is None else series.words
            count = found.with_outcome.get(version, 0) + known.num_rows
            found.with_outcome[version] = count
            found.judges[version].add(known)
    return found


def _by_version(rows: pa.Table) -> list[tuple[_Version, pa.Table]]:
    """The rows of each model version."""
    if not rows.num_rows:
        return []
    versions = (
        rows.group_by(list(MODEL))
        .aggregate([])
        .sort_by([(MODEL[0], "ascending"), (MODEL[1], "ascending")])
    )
    if versions.num_rows == 1:
        one = versions.to_pylist()[0]
        return [((one[MODEL[0]], one[MODEL[1]], one[MODEL[2]]), rows)]
    found = []
    for one in versions.to_pylist():
        mask = pc.equal(rows[MODEL[0]], one[MODEL[0]])
        for name in MODEL[1:]:
            mask = pc.and_(mask, pc.equal(rows[name], one[name]))
        found.append(((one[MODEL[0]], one[MODEL[1]], one[MODEL[2]]), rows.filter(mask)))
    return found


def _words(context: Context, version: _Version, report: EvaluateReport) -> PublishedWords:
    """What the predictions of a version mean; where its bundle cannot be read, what the pipeline
    file says of them, and a warning.
    """
    from batchinfer.models.bundle import verify_bundle
    from batchinfer.pipeline.definition.published_words import assumed_words, read_words

    name, number, digest = version
    try:
        ref = context.registry.resolve(f"models:/{name}/{number}")
        if ref.digest != digest:
            raise InputError(
                f"version {number} of model {name} is another bundle now than the one that scored"
            )
        folder = context.registry.fetch(ref, context.bundle_cache)
        return read_words(folder, verify_bundle(folder, ref.digest, context.asked))
    except BatchInferError as error:
        report.warnings.append(
            f"the bundle of version {number} of model {name} cannot be read, so its predictions "
            f"are judged by what the pipeline file says of them: {'; '.join(error.problems)}"
        )
        target = context.pipeline.train.target if context.pipeline.train is not None else None
        return assumed_words(target, context.pipeline.postprocess)


def _tell(report: EvaluateReport, found: _Found) -> None:
    """Counts and metrics, of each version and of all."""
    report.rows_predicted = sum(found.predicted.values())
    report.rows_with_outcome = sum(found.with_outcome.values())
    report.rows_without_outcome = report.rows_predicted - report.rows_with_outcome
    report.outcomes_without_prediction = found.others
    if found.without_key:
        report.warnings.append(
            f"{found.without_key:,} outcomes have no whole key, and are of no prediction"
        )
    judged = {version: judge.judged() for version, judge in found.judges.items()}
    for version, rows in found.predicted.items():
        one = judged.get(version)
        known = found.with_outcome.get(version, 0)
        report.models.append(_told(version, rows, known, one))
    if len(report.models) == 1:
        report.model_version = report.models[0].model_version
        report.bundle_digest = report.models[0].bundle_digest
    whole = _of_all(found, judged, report)
    if whole is not None:
        report.metrics = dict(whole.metrics)
        report.measured_against = dict(whole.measured_against)
        report.warnings += whole.warnings


def _told(version: _Version, rows: int, known: int, judged: JudgedPairs | None) -> ModelEvaluation:
    if judged is None:
        return ModelEvaluation(*version, rows, known)
    return ModelEvaluation(
        *version,
        rows,
        known,
        judged.task,
        dict(judged.metrics),
        dict(judged.measured_against),
        list(judged.warnings),
    )


def _of_all(
    found: _Found, judged: Mapping[_Version, JudgedPairs], report: EvaluateReport
) -> JudgedPairs | None:
    """What all rows say together; None where models of different tasks predicted them."""
    judges = list(found.judges.values())
    if len(judges) == 1:
        return next(iter(judged.values()))
    first = judges[0]
    if any(type(judge) is not type(first) for judge in judges):
        report.warnings.append(
            "the models have different tasks, so there are no metrics of all rows: see models"
        )
        return None
    whole = type(first)(first.words, first.target, first.column, last=first.last)
    for judge in judges:
        whole.merge(judge)
    return whole.judged()


def _none_match(found: _Found, predicted: PredictedRows, outcomes: OutcomesTable) -> str:
    """Why nothing can be said, with some keys of both tables."""
    known = "" if outcomes.as_of is None else f" known as of {outcomes.as_of}"
    where = f"{outcomes.place}: outcomes.value: column {outcomes.settings.value}"
    rows, told = outcomes.counted()
    if not told:
        nulls = f": its {rows:,} rows{known} are null or NaN there" if rows else ""
        return f"{where} has no outcome{known}{nulls}; allowed: at least one"
    own = _first_keys(predicted.batches(), predicted.key)
    came = _first_keys(outcomes.batches(), outcomes.key)
    types = ", ".join(f"{n} {t}" for n, t in zip(predicted.key, predicted.key_types, strict=True))
    theirs = ", ".join(f"{name} {outcomes.types[name]}" for name in outcomes.key)
    return (
        f"no prediction of slices {', '.join(predicted.slices[:_EXAMPLES])} has an outcome in "
        f"{outcomes.place}{known and f' that is{known}'}: {sum(found.predicted.values()):,} "
        f"predictions ({types}) have keys such as {own}, and {found.others:,} outcomes ({theirs}) "
        f"such as {came}; allowed: keys that are equal, value for value"
    )


def _first_keys(batches: Any, names: tuple[str, ...]) -> str:
    for batch in batches:
        if batch.num_rows:
            rows = batch.slice(0, _EXAMPLES).to_pylist()
            keys = [[row[f"key_{place}"] for place in range(len(names))] for row in rows]
            return "; ".join(named_key(names, key) for key in keys)
    return "none"


def _none_hint(as_of: str | None) -> str | None:
    return "without --as-of all outcomes count" if as_of is not None else None


def _several_hint(outcomes: OutcomesTable) -> str:
    """What helps where keys have several outcomes."""
    if outcomes.settings.at is None and "slice" in outcomes.types:
        return "outcomes: {at: slice} takes that of the newest slice"
    if outcomes.settings.at is None:
        return "outcomes.at names the column that says since when an outcome is known"
    return "outcomes.at may name a column that tells these rows apart"
