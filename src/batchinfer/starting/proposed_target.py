"""What is to be learned of the target: two classes, several, or a number.

Owns how its values decide. Must not know features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import compute

from batchinfer.config.suggestions import among
from batchinfer.errors import ConfigError, InputError
from batchinfer.starting.sample import DataSample, SampledColumn, told

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

# Whole numbers of no more values than these are classes.
_MOST_NUMBERED = 10
_MOST_CLASSES = 100
_YES = ("yes", "y", "true", "t", "1", "positive", "pos", "success", "churned", "fraud", "spam")


@dataclass(frozen=True)
class ProposedTarget:
    """The target.

    Attributes:
        model: `mlp_classifier` or `mlp_regressor`.
        positive: the class that is looked for, of two; as text, a number or a truth value.
        reason: why it is such a model.
        positive_reason: why it is this class.
        parameters: of the training, and why.
    """

    column: str
    model: str
    positive: str | int | float | bool | None
    reason: str
    positive_reason: str
    parameters: tuple[tuple[str, Any], ...]
    parameters_reason: str


def propose_target(sample: DataSample, name: str) -> ProposedTarget:
    """Chooses what is learned of a column.

    Args:
        name: in the pipeline file, or in the data.

    Runs on: driver.

    Raises:
        ConfigError: no such column.
        InputError: a column of which nothing can be learned.
    """
    in_data = [one for one in sample.columns if name == (one.given or one.name)]
    called = [one for one in sample.columns if name == one.name]
    column = next(iter([*in_data, *called]), None)
    if column is None:
        names = [one.name for one in sample.columns]
        raise ConfigError(f"--target: no such column: {among(name, names)}", _about_columns(sample))
    values = column.values.drop_null()
    found = pc.value_counts(values).to_pylist()
    counts = {one["values"]: one["counts"] for one in found}
    if len(counts) < 2:
        only = told(next(iter(counts))) if counts else "no value"
        raise InputError(
            f"{sample.path}: the target {column.name} has {only} in all {len(column.values):,} "
            "records that were read; allowed: a column with two values at least"
        )
    model, reason = _model_of(column, counts, sample)
    missing = column.values.null_count
    if missing:
        what = "record without a value is" if missing == 1 else "records without a value are"
        reason += f"; {missing:,} {what} not learned from"
    positive, why = _positive_of(counts) if len(counts) == 2 else (None, "")
    parameters, parameters_reason = _parameters(sample)
    return ProposedTarget(column.name, model, positive, reason, why, parameters, parameters_reason)


def _about_columns(sample: DataSample) -> str | None:
    """Why the columns may not be those that were thought of."""
    if sample.kind != "csv":
        return None
    if any(one.name == "header" and one.value is False for one in sample.options):
        return "the file has no header, so its columns are called c1, c2 and so on, in their order"
    if len(sample.columns) == 1:
        return (
            "the file was taken for a single column, because neither comma, semicolon, tab nor bar "
            "parts its records; write it with one of these between the fields"
        )
    return None


def _model_of(column: SampledColumn, counts: dict[Any, int], sample: DataSample) -> tuple[str, str]:
    type_, many = column.values.type, len(counts)
    if many == 2 and (is_numeric(type_) or column.type in ("string", "boolean")):
        return "mlp_classifier", f"Column {column.name} has two values"
    if column.type == "string":
        if many > _MOST_CLASSES:
            raise InputError(
                f"{sample.path}: the target {column.name} has {many:,} different texts; allowed: "
                f"up to {_MOST_CLASSES} classes, or a number"
                + "".join(f"; {reason}" for reason in column.reasons)
            )
        return "mlp_classifier", f"Column {column.name} has {many} values, each a class"
    if pa.types.is_integer(type_) and many <= _MOST_NUMBERED:
        why = f"Column {column.name} has {many} whole numbers, each taken for a class"
        return "mlp_classifier", f"{why}; mlp_regressor learns them as amounts"
    if is_numeric(type_):
        return "mlp_regressor", f"Column {column.name} is a number with {many:,} different values"
    raise InputError(
        f"{sample.path}: the target {column.name} is of type {column.type}; allowed: text, true "
        "and false, or a number"
    )


def is_numeric(type_: pa.DataType) -> bool:
    """Whether steps for numbers take columns of a type."""
    return pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_)


def _positive_of(counts: dict[Any, int]) -> tuple[Any, str]:
    one, other = sorted(counts, key=str)
    if isinstance(one, bool):
        return True, "true is the one that score is the probability of"
    if not isinstance(one, str):
        high = max(one, other)
        return high, "the greater number is the one that score is the probability of"
    for value in (one, other):
        if value.strip().lower() in _YES:
            return value, f"{told(value)} is the one that score is the probability of"
    rare = one if counts[one] < counts[other] else other
    return rare, (
        f"score is its probability; it was chosen because it has {counts[rare]:,} records, and "
        f"{told(other if rare is one else one)} has {counts[other if rare is one else one]:,}"
    )


def _parameters(sample: DataSample) -> tuple[tuple[tuple[str, Any], ...], str]:
    """A network and steps that fit the number of records: of few, each is seen often."""
    if sample.records < 5_000:
        size, batch, epochs, rate = (32,), 32, 60, 0.005
    elif sample.records < 50_000:
        size, batch, epochs, rate = (64, 32), 128, 20, 0.002
    else:
        size, batch, epochs, rate = (128, 64), 256, 5, 0.001
    parameters = {
        "hidden": size,
        "batch_size": batch,
        "epochs": epochs,
        "learning_rate": rate,
        "patience": 8 if epochs > 5 else 3,
        "seed": 7,
    }
    reason = f"For about {sample.records:,} records; docs/training.md says what each one does"
    return tuple(parameters.items()), reason
