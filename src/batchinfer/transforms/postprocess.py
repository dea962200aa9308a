"""`PostProcess`: the steps after the model with their states, applied to the predictions of any
rows.

Owns their check against the model's prediction columns, and their JSON
form in a bundle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from batchinfer.config.types import parse_ddl, spark_name
from batchinfer.contracts import Problem
from batchinfer.errors import ModelError
from batchinfer.transforms.fitted import TransformPipeline
from batchinfer.transforms.known_steps import AFTER_STEPS
from batchinfer.transforms.parse import dump_steps, parse_items
from batchinfer.transforms.step import Fields, Json, StepProblem

if TYPE_CHECKING:
    from batchinfer.transforms.after_step import AfterStep, Frame

FORMAT = 1


def parse_after(raw: Sequence[Mapping[str, Any]]) -> tuple[list[AfterStep], list[Problem]]:
    """The steps of `postprocess`, and every problem found. Runs on: driver."""
    return parse_items(raw, AFTER_STEPS, "postprocess", "threshold: {value: 0.7}")


def check_after(
    steps: Sequence[AfterStep],
    fields: Mapping[str, pa.DataType],
    labels: tuple[str, ...],
    features: Sequence[str] = (),
) -> list[Problem]:
    """Every problem of the steps with these prediction columns; the walk ends at the first step
    that does not fit.

    Args:
        labels: of the model's classes.
        features: source columns that feature steps change, for `inverse`; none: not known.

    Runs on: driver.
    """
    from batchinfer.transforms.steps.calibrate import Calibrate
    from batchinfer.transforms.steps.inverse import Inverse

    now = dict(fields)
    calibrated = False
    for place, step in enumerate(steps):
        path = ("postprocess", place if step._position is None else step._position, step.name)
        try:
            now = step.output_fields(now, labels)
        except StepProblem as problem:
            return [Problem(path, text) for text in problem.problems]
        if isinstance(step, Calibrate) and calibrated:
            return [Problem(path, "calibrate stands there twice; allowed: once")]
        calibrated |= isinstance(step, Calibrate)
        if (
            isinstance(step, Inverse)
            and step.of is not None
            and features
            and step.of not in features
        ):
            return [
                Problem(
                    (*path, "of"),
                    f"got '{step.of}'; allowed: a column of the features: {', '.join(features)}",
                )
            ]
    return []


def fit_after(
    steps: Sequence[AfterStep],
    predictions: Mapping[str, pa.Array] | Mapping[str, pa.DataType],
    labels: Sequence[str],
    transforms: TransformPipeline | None,
    target: np.ndarray | None = None,
) -> PostProcess:
    """The steps, fitted.

    Args:
        predictions: the model's own predictions of rows that it did not learn from; for a model
            that was not trained here, their types alone.
        labels: of the model's classes.
        transforms: the fitted feature steps, for `inverse`.
        target: (rows,) places of the classes of these rows among the labels, for `calibrate`.

    Runs on: driver.

    Raises:
        StepProblem: a step does not fit, or needs rows with a target.
    """
    from batchinfer.transforms.steps.calibrate import Calibrate
    from batchinfer.transforms.steps.inverse import Inverse

    frame = {name: value for name, value in predictions.items() if isinstance(value, pa.Array)}
    fields = {name: getattr(value, "type", value) for name, value in predictions.items()}
    states: dict[str, Json] = {}
    now: Fields = dict(fields)
    for place, step in enumerate(steps):
        after = step.output_fields(now, tuple(labels))
        if isinstance(step, Inverse):
            states[str(place)] = {
                "undo": [{"step": step.step}] if step.of is None else _undo(transforms, step.of)
            }
        elif isinstance(step, Calibrate):
            if target is None or not frame:
                raise StepProblem(
                    "calibrate is fitted when the model is trained; allowed for a model trained "
                    "elsewhere: no calibrate"
                )
            states[str(place)] = step.fit(frame, target, tuple(labels))
        if frame:
            step.transform(frame, states.get(str(place)), tuple(labels))
        now = after
    return PostProcess(steps, fields, labels, states)


def _undo(transforms: TransformPipeline | None, column: str) -> list[Json]:
    if transforms is None:
        raise StepProblem(
            f"inverse: of {column}: the model has no features of this project's to undo"
        )
    return transforms.undo(column)


class PostProcess:
    """Steps with their states, ready for the predictions of any rows alone.

    Args:
        steps: as parsed.
        fields: the model's own prediction columns.
        labels: of the model's classes, in the order of its outputs; none if it is no classifier.
        states: of each fitted step, by its place ("0", "1" …).

    Raises:
        StepProblem: a step does not fit the columns, or is not fitted.
    """

    def __init__(
        self,
        steps: Sequence[AfterStep],
        fields: Mapping[str, pa.DataType],
        labels: Sequence[str],
        states: Mapping[str, Json],
    ) -> None:
        self.steps = list(steps)
        self.before: Fields = dict(fields)
        self.labels = tuple(labels)
        self.states: list[Json] = [states.get(str(place)) for place in range(len(self.steps))]
        unfitted = [
            step.name
            for step, state in zip(self.steps, self.states, strict=True)
            if step.fitted and state is None
        ]
        if unfitted:
            raise StepProblem(f"not fitted: {', '.join(unfitted)}")
        now = self.before
        for step in self.steps:
            now = step.output_fields(now, self.labels)
        self.fields: Fields = now

    def words(self, words: frozenset[str] | None) -> frozenset[str] | None:
        """What `label` can say after the steps, of what the model's own can say; None: not known.

        Runs on: driver.
        """
        for step in self.steps:
            words = step.words(words, self.labels)
        return words

    def apply(self, predictions: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        """The prediction columns after the steps, in the order of `fields`; rows as many and in
        order. Runs on: executor.
        """
        frame: Frame = dict(predictions)
        for step, state in zip(self.steps, self.states, strict=True):
            step.transform(frame, state, self.labels)
        return {name: frame[name] for name in self.fields}

    def to_json(self) -> dict[str, Any]:
        """Steps, versions, prediction columns, labels and states, JSON-able and readable."""
        items = zip(dump_steps(self.steps), self.steps, self.states, strict=True)
        return {
            "format": FORMAT,
            "fields": [[name, spark_name(type_)] for name, type_ in self.before.items()],
            "labels": list(self.labels),
            "steps": [
                {"step": item, "version": step.version, "state": state}
                for item, step, state in items
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PostProcess:
        """What `to_json` wrote.

        Raises:
            ModelError: another format, a step of another version, or a state that does not fit its
                step.
        """
        if value.get("format") != FORMAT:
            raise ModelError(
                f"steps after the model of format {value.get('format')!r}; this release reads "
                f"format {FORMAT}"
            )
        try:
            entries = value["steps"]
            steps, problems = parse_after([entry["step"] for entry in entries])
            texts = [problem.message for problem in problems] or [
                f"step {step.name} has version {step.version} in this release, and "
                f"{entry['version']} in the bundle"
                for step, entry in zip(steps, entries, strict=True)
                if entry["version"] != step.version
            ]
            if texts:
                raise ModelError(
                    [f"steps after the model: {text}" for text in texts],
                    "train or register the bundle again",
                )
            states = {str(place): entry["state"] for place, entry in enumerate(entries)}
            return cls(
                steps,
                {name: parse_ddl(type_) for name, type_ in value["fields"]},
                value["labels"],
                states,
            )
        except (StepProblem, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"steps after the model: a state does not fit its step ({error})"
            ) from error

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON."""
        text = json.dumps(
            self.to_json(),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )
        return hashlib.sha256(text.encode()).hexdigest()
