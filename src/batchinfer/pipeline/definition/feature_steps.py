"""Steps of a pipeline file, held against the columns of its source before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from batchinfer.config.pipeline import Pipeline, Target
from batchinfer.config.sources import Source
from batchinfer.config.suggestions import among
from batchinfer.contracts import Problem
from batchinfer.errors import ConfigError
from batchinfer.pipeline.definition.after_steps import check_postprocess
from batchinfer.pipeline.definition.table_steps import check_table_steps, columns_of

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.models.parameters import Task
    from batchinfer.transforms import RowStep


def check_document_steps(document: dict[str, Any]) -> list[Problem]:
    """Every problem of `derive`, of the `features` and of the training parameters of a pipeline
    document.

    Columns and types are checked only where the source itself is right: its own problems are
    reported by the loader.
    """
    fields = _fields(document.get("source"))
    problems, prepared = check_table_steps(document, fields)
    problems += (
        check_features(document, prepared)
        + _parameter_problems(document)
        + _task_problems(document, fields)
    )
    return problems + check_validation(document, prepared)


def check_features(document: Mapping[str, Any], fields: dict[str, pa.DataType]) -> list[Problem]:
    """Every problem of `derive` and of the `features` of a pipeline document with these source
    columns; without columns, of the expressions and the steps alone.
    """
    import pyarrow as pa

    from batchinfer.transforms import check_derivation, check_steps, parse_steps

    target = _part(document.get("train"), "target").get("column")
    target = target if isinstance(target, str) else None
    derived = check_derivation(document.get("derive"), fields, target)
    raw = document.get("features")
    raw = raw if isinstance(raw, list) else []
    steps, problems = parse_steps(raw)
    problems = derived.problems + problems
    if not fields:
        return problems
    if derived.step:
        steps.insert(0, derived.step)
    fields = fields | dict.fromkeys(derived.unknown, pa.null())
    fields = fields | _made_unknown(raw, steps, fields)
    excluded = [] if target is None else [target]
    return problems + check_steps(steps, fields, excluded, _target_kind(document, fields))


def _target_kind(document: Mapping[str, Any], fields: Mapping[str, pa.DataType]) -> str | None:
    """What steps that are fitted on the target get; `classes` where it cannot be told yet."""
    import pyarrow as pa

    from batchinfer.models.parameters import MODELS

    target = _part(document.get("train"), "target")
    if not isinstance(target.get("column"), str):
        return None
    type_ = fields.get(target["column"], pa.null())
    number = pa.types.is_floating(type_) or pa.types.is_decimal(type_)
    known = MODELS.get(str(_part(document, "train").get("model")))
    regressor = known is not None and known.tasks == ("regression",)
    # 0 and false name a class.
    two = target.get("positive") is not None or target.get("positive_pattern")
    return "number" if (number or regressor) and not two else "classes"


def _fields(source: Any) -> dict[str, pa.DataType]:
    """Types of the source's columns as far as they can be told; unknown where the loader reports a
    problem; empty if none can.
    """
    import pyarrow as pa

    from batchinfer.config.schema import schema_fields
    from batchinfer.config.types import parse_ddl

    try:
        valid: Any = TypeAdapter(Source).validate_python(source)
        # Columns that only the source itself can tell are checked when they are known.
        return schema_fields(valid) or {}
    except (ValidationError, ValueError):
        # What is wrong with the source is the loader's to say; its columns are known all the same.
        fields: dict[str, pa.DataType] = {}
    for name, column in _part(source, "schema").items():
        try:
            fields[name] = parse_ddl(column["type"] if isinstance(column, dict) else column)
        except (ValueError, TypeError, AttributeError, KeyError):
            fields[name] = pa.null()
    return fields


def _made_unknown(
    raw: Sequence[Any], steps: Sequence[RowStep], fields: Mapping[str, pa.DataType]
) -> dict[str, pa.DataType]:
    """Columns that a step with a problem would have changed or made, as of unknown type: one
    mistake is told once.
    """
    import pyarrow as pa

    understood = {step._position for step in steps}
    touched = {
        name
        for place, item in enumerate(raw)
        if place not in understood
        for name in columns_of(item)
    }
    made = {
        name
        for step in steps
        for name in step.columns
        if any(name.startswith(f"{column}_") for column in touched)
    }
    return {name: pa.null() for name in (touched & fields.keys()) | (made - fields.keys())}


def _part(document: Any, name: str) -> dict[str, Any]:
    part = document.get(name) if isinstance(document, dict) else None
    return part if isinstance(part, dict) else {}


def _parameter_problems(document: Mapping[str, Any]) -> list[Problem]:
    train = document.get("train")
    if not isinstance(train, dict) or not isinstance(train.get("params", {}), dict):
        return []
    from batchinfer.models.parameters import check_params

    model = train.get("model", "mlp_classifier")
    # That training needs features is for `train` to say: a registered model may take the columns as
    # they are.
    return [
        Problem(("train", *place), message)
        for place, message in check_params(model, train.get("params", {}))
    ]


def _task(document: Mapping[str, Any], fields: Mapping[str, pa.DataType]) -> Task | None:
    """What the pipeline trains, as far as its file tells; None where it trains nothing, or the
    target's type is not known.

    Raises:
        ConfigError: its model cannot learn such a target.
    """
    import pyarrow as pa

    from batchinfer.models.parameters import MODELS, task_of

    target = _part(document.get("train"), "target")
    type_ = fields.get(str(target.get("column")))
    model = _part(document, "train").get("model", "mlp_classifier")
    if (
        type_ is None
        or pa.types.is_null(type_)
        or not (isinstance(model, Mapping) or model in MODELS)
    ):
        return None
    try:
        known = Target.model_validate(target)
    except ValidationError:  # the loader's to say
        return None
    return task_of(known, type_, model)


def _task_problems(document: Mapping[str, Any], fields: Mapping[str, pa.DataType]) -> list[Problem]:
    """A model that cannot learn what the target asks for; steps after a model that can."""
    try:
        # Without features nothing is trained, and what a registered model gives is not known here.
        return check_postprocess(
            document,
            _task(document, fields) if document.get("features") or document.get("derive") else None,
        )
    except ConfigError as error:
        return [Problem(("train", "model"), problem) for problem in error.problems]


def check_validation(
    document: Mapping[str, Any], fields: Mapping[str, pa.DataType]
) -> list[Problem]:
    """A column that the rows to validate on are chosen by: it is there, and has an order."""
    from batchinfer.models.parameters import VALIDATION_BY_KEY
    from batchinfer.transforms import is_ordered

    by = _part(_part(document, "train"), "params").get("validation_by", VALIDATION_BY_KEY)
    if not isinstance(by, str) or by == VALIDATION_BY_KEY or not fields:
        return []
    place = ("train", "params", "validation_by")
    if by not in fields:
        ordered = [name for name, type_ in fields.items() if is_ordered(type_)]
        return [Problem(place, f"no such column: {among(by, [VALIDATION_BY_KEY, *ordered])}")]
    if not is_ordered(fields[by]):
        return [
            Problem(
                place,
                f"got {by}, of type {fields[by]}; allowed: key, or a column of times or numbers",
            )
        ]
    return []


def pipeline_steps(pipeline: Pipeline) -> list[RowStep]:
    """The steps of a pipeline that has been loaded, and therefore checked: that of `derive`, where
    it has one, and those of `features`.
    """
    from batchinfer.transforms import Derive, parse_steps

    steps, problems = parse_steps(list(pipeline.features))
    if problems:
        raise ValueError("\n".join(problem.message for problem in problems))
    return [Derive.of(pipeline.derive), *steps] if pipeline.derive else steps
