"""Feature steps of a pipeline file, held against the columns of its source before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from batchinfer.config.pipeline import Pipeline
from batchinfer.config.sources import Source
from batchinfer.contracts import Problem

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.transforms import Step


def check_document(document: dict[str, Any]) -> list[Problem]:
    """Every problem of the `features` and of the training parameters of a pipeline document.

    Columns and types are checked only where the source itself is right: its own problems are reported by the loader.
    """
    fields = _fields(document.get("source"))
    return check_features(document, fields) + _parameter_problems(document) + _task_problems(document, fields)


def check_features(document: Mapping[str, Any], fields: dict[str, pa.DataType]) -> list[Problem]:
    """Every problem of the `features` of a pipeline document with these source columns; without columns, of the steps alone."""
    from batchinfer.transforms import check_steps, parse_steps

    raw = document.get("features")
    if not isinstance(raw, list):
        return []
    steps, problems = parse_steps(raw)
    if not fields:
        return problems
    fields = fields | _made_unknown(raw, steps, fields)
    target = _part(document.get("train"), "target").get("column")
    return problems + check_steps(steps, fields, [target] if isinstance(target, str) else [])


def _fields(source: Any) -> dict[str, pa.DataType]:
    """Types of the source's columns as far as they can be told; unknown where the loader reports a problem; empty if none can."""
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


def _made_unknown(raw: Sequence[Any], steps: Sequence[Step], fields: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    """Columns that a step with a problem would have changed or made, as of unknown type: one mistake is told once."""
    import pyarrow as pa

    understood = {step._position for step in steps}
    touched = {name for place, item in enumerate(raw) if place not in understood for name in _columns_of(item)}
    made = {name for step in steps for name in step.columns if any(name.startswith(f"{column}_") for column in touched)}
    return {name: pa.null() for name in (touched & fields.keys()) | (made - fields.keys())}


def _columns_of(item: Any) -> list[str]:
    found: list[str] = []
    for parameters in item.values() if isinstance(item, dict) else ():
        columns = parameters.get("columns") if isinstance(parameters, dict) else None
        found += [columns] if isinstance(columns, str) else [name for name in columns or () if isinstance(name, str)]
    return found


def _part(document: Any, name: str) -> dict[str, Any]:
    part = document.get(name) if isinstance(document, dict) else None
    return part if isinstance(part, dict) else {}


def _parameter_problems(document: Mapping[str, Any]) -> list[Problem]:
    train = document.get("train")
    if not isinstance(train, dict) or not isinstance(train.get("params", {}), dict):
        return []
    from batchinfer.models.parameters import check_params

    model = train.get("model", "mlp_classifier")
    problems = [Problem(("train", *place), message) for place, message in check_params(model, train.get("params", {}))]
    # Without features there is nothing to train, which `train` says itself; a registered model may take the columns as they are.
    return problems + (_input_problems(document) if document.get("features") else [])


def _input_problems(document: Mapping[str, Any]) -> list[Problem]:
    """Training needs features, and feeds no integer inputs yet."""
    from batchinfer.transforms import parse_steps

    raw = document.get("features", [])
    if raw == []:
        return [Problem(("features",), "got no steps, but train needs features: columns that a step changes or makes")]
    steps, _ = parse_steps(raw) if isinstance(raw, list) else ([], [])
    return [
        Problem(
            ("features", step._position or 0, step.name),
            f"got {step.name}, whose integer inputs training does not feed to a model yet; "
            "allowed with train: one_hot, ordinal, hashing, frequency, tfidf",
        )
        for step in steps
        if step.name in ("tokenize", "embedding_index")
    ]


def _task_problems(document: Mapping[str, Any], fields: Mapping[str, pa.DataType]) -> list[Problem]:
    """A built-in model that cannot learn what the target asks for."""
    import pyarrow as pa

    train = document.get("train")
    if not isinstance(train, dict):
        return []
    from batchinfer.models.parameters import MODELS

    model = train.get("model", "mlp_classifier")
    target = _part(document.get("train"), "target")
    type_ = fields.get(target.get("column", ""))
    if not isinstance(model, str) or model not in MODELS or type_ is None or pa.types.is_null(type_):
        return []
    binary = bool(target.get("positive") or target.get("positive_pattern"))
    task = "binary" if binary else "multiclass" if pa.types.is_string(type_) else "regression"
    if task in MODELS[model].tasks:
        return []
    fitting = ", ".join(name for name, kind in MODELS.items() if task in kind.tasks)
    return [Problem(("train", "model"), f"got {model}, but target {target['column']} asks for {task}; allowed: {fitting}")]


def pipeline_steps(pipeline: Pipeline) -> list[Step]:
    """The steps of a pipeline that has been loaded, and therefore checked."""
    from batchinfer.transforms import parse_steps

    steps, problems = parse_steps(list(pipeline.features))
    if problems:
        raise ValueError("\n".join(problem.message for problem in problems))
    return steps
