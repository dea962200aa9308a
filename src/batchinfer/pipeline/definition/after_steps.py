"""Steps after the model: held against the pipeline file before anything runs, fitted when a model
is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from batchinfer.contracts import Problem

if TYPE_CHECKING:
    from batchinfer.models.parameters import Task

_OUTPUTS: Mapping[str, Mapping[str, str]] = {
    "binary": {"score": "double", "label": "string"},
    "multiclass": {"label": "string", "score": "double", "scores": "map<string,double>"},
    "regression": {"prediction": "double"},
}
# How the classes are called is known only when they have been seen; how many there may be, before.
_CLASSES: Mapping[str, tuple[str, ...]] = {
    "binary": ("other", "positive"),
    "multiclass": ("a", "b", "c"),
    "regression": (),
}


def check_postprocess(document: Mapping[str, Any], task: Task | None) -> list[Problem]:
    """Every problem of the `postprocess` of a pipeline document.

    Args:
        task: what the pipeline trains; None: a model trained elsewhere, whose outputs are not known
            here.
    """
    from batchinfer.config.types import parse_ddl
    from batchinfer.transforms import check_after, parse_after, parse_steps

    raw = document.get("postprocess")
    if not isinstance(raw, list):
        return []
    steps, problems = parse_after(raw)
    if problems or task is None:
        return problems
    features = document.get("features")
    changed = [
        name
        for step in parse_steps(features if isinstance(features, list) else [])[0]
        if step.in_place
        for name in step.columns
    ]
    fields = {name: parse_ddl(type_) for name, type_ in _OUTPUTS[task].items()}
    return check_after(steps, fields, _CLASSES[task], list(dict.fromkeys(changed)))
