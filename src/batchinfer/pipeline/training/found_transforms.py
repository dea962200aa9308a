"""The fitted transforms that a model trained elsewhere is fed by: those of a registered version, or
made on the spot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchinfer.config.suggestions import listed
from batchinfer.errors import ModelError
from batchinfer.hints import Hint
from batchinfer.models.registry import Registry
from batchinfer.pipeline.definition.feature_steps import pipeline_steps
from batchinfer.pipeline.slices.table_columns import TableColumns

if TYPE_CHECKING:
    from batchinfer.transforms import RowStep, TransformPipeline


def find_transforms(columns: TableColumns, name: str) -> tuple[TransformPipeline | None, str]:
    """Transforms for the pipeline's `features`, and the URI of the version that they are from;
    (None, "") without features.

    Steps that need no fitting are made on the spot. Else the newest version of the model whose
    steps are the pipeline's own has them: a model trained elsewhere on their output goes on with
    the same.

    Args:
        name: of the model in the registry.

    Runs on: driver.

    Raises:
        ModelError: the steps need fitting, and no version has them fitted.
        StorageError: the registry does not answer.
    """
    from batchinfer.transforms import TransformPipeline

    context = columns.context
    steps = pipeline_steps(context.pipeline)
    if not steps:
        return None, ""
    fields = {
        column: type_
        for column, type_ in columns.prepared.items()
        if any(column in step.columns for step in steps)
    }
    if not any(step.fitted for step in steps):
        return TransformPipeline(steps, fields, {}), ""
    for uri in _versions(context.registry, name):
        found = _transforms_of(columns, uri, steps)
        if found is not None:
            return found, uri
    fitted = listed(dict.fromkeys(step.name for step in steps if step.fitted))
    raise ModelError(
        f"the pipeline's features ({fitted}) have to be fitted, and no version of the model "
        f"{name!r} has them fitted as they stand in the pipeline file",
        Hint(
            context.asked.command("train"),
            " fits them",
            "" if context.pipeline.train else ", once the pipeline file has a train section",
            "; a pipeline without features feeds the landed columns as they are",
        ),
    )


def _versions(registry: Registry, name: str) -> list[str]:
    try:
        return [f"models:/{name}/{one['version']}" for one in reversed(registry.versions(name))]
    except ModelError:  # no such model yet
        return []


def _transforms_of(
    columns: TableColumns, uri: str, steps: list[RowStep]
) -> TransformPipeline | None:
    """The transforms of a version if they have these steps; None for another model, a damaged one,
    or changed code.
    """
    from batchinfer.models.bundle import read_steps
    from batchinfer.transforms import dump_steps

    registry = columns.context.registry
    try:
        ref = registry.resolve(uri)
        transforms, _ = read_steps(registry.fetch(ref, columns.context.bundle_cache))
    except ModelError:
        return None
    if transforms is None or dump_steps(transforms.steps) != dump_steps(steps):
        return None
    same = all(columns.prepared.get(name) == type_ for name, type_ in transforms.fields.items())
    return transforms if same else None
