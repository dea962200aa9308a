"""Feature steps of a pipeline file, held against the columns of its source before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from batchinfer.config.pipeline import Pipeline, Source
from batchinfer.contracts import Problem

if TYPE_CHECKING:
    from batchinfer.transforms import Step


def check_document(document: dict[str, Any]) -> list[Problem]:
    """Every problem of the `features` and of the training parameters of a pipeline document.

    Columns and types are checked only where the source itself is right: its own problems are reported by the loader.
    """
    return _feature_problems(document) + _parameter_problems(document)


def _feature_problems(document: Mapping[str, Any]) -> list[Problem]:
    from batchinfer.config.schema import schema_fields
    from batchinfer.transforms import check_steps, parse_steps

    raw = document.get("features")
    if not isinstance(raw, list):
        return []
    steps, problems = parse_steps(raw)
    if problems:
        return problems
    try:
        source: Any = TypeAdapter(Source).validate_python(document.get("source"))
        fields = schema_fields(source)
    except (ValidationError, ValueError):
        # The loader reports what is wrong with the source; without its columns there is nothing to hold steps against.
        return []
    train = document.get("train")
    target = train.get("target") if isinstance(train, dict) else None
    excluded = [target["column"]] if isinstance(target, dict) and isinstance(target.get("column"), str) else []
    return check_steps(steps, fields, excluded)


def _parameter_problems(document: Mapping[str, Any]) -> list[Problem]:
    train = document.get("train")
    if not isinstance(train, dict) or not isinstance(train.get("params", {}), dict):
        return []
    from batchinfer.models.parameters import check_params

    model = train.get("model", "mlp_classifier")
    return [Problem(("train", *place), message) for place, message in check_params(model, train.get("params", {}))]


def pipeline_steps(pipeline: Pipeline) -> list[Step]:
    """The steps of a pipeline that has been loaded, and therefore checked."""
    from batchinfer.transforms import parse_steps

    steps, problems = parse_steps(list(pipeline.features))
    if problems:
        raise ValueError("\n".join(problem.message for problem in problems))
    return steps
