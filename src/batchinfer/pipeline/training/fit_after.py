"""Steps after the model, fitted on rows that it did not learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.models.training import Trained
    from batchinfer.transforms import PostProcess, TransformPipeline


def fit_postprocess(
    raw: Sequence[Mapping[str, Any]], trained: Trained, transforms: TransformPipeline
) -> tuple[PostProcess | None, dict[str, float]]:
    """The steps of `postprocess`, fitted on the rows that the model was validated on; and how well
    calibrated scores do.

    Runs on: driver.

    Raises:
        StepProblem: a step does not fit the model's predictions.
    """
    from batchinfer.models.metrics import calibrated_log_loss
    from batchinfer.transforms import Calibrate, fit_after, parse_after

    steps, _ = parse_after(raw)
    if not steps:
        return None, {}
    predictions: dict[str, pa.Array] = trained.handler.decode(trained.outputs)
    target = trained.places if trained.labels else None
    fitted = fit_after(steps, predictions, trained.labels, transforms, target)
    first = next((step for step in steps if isinstance(step, Calibrate)), None)
    if first is None or target is None:
        return fitted, {}
    return fitted, {
        "log_loss_calibrated": calibrated_log_loss(first, predictions, target, trained.labels)
    }


def mapped_labels(raw: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Labels that the steps of `postprocess` give another name.

    Runs on: driver.
    """
    from batchinfer.transforms import LabelMap, parse_after

    return frozenset(
        label for step in parse_after(raw)[0] if isinstance(step, LabelMap) for label in step.values
    )
