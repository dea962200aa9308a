"""The shape of a pipeline file, as pydantic models: names, types, defaults.

Owns what may be written in `conf/pipelines/*.yaml`. Knows neither files nor places (see `loader`),
nor what a feature step does: a step is a name and its parameters here, and the transforms room says
which names there are.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from batchinfer.config.fields import (
    MODEL_URI,
    ClassNames,
    Flag,
    Identifier,
    ModelChoice,
    ModelUri,
    Names,
    Number,
    Positive,
    RowCount,
    Size,
    Strict,
    TablePlace,
    Texts,
    Unseen,
    VariableName,
)
from batchinfer.config.sources import Source
from batchinfer.contracts import CHAMPION, NamedModel

__all__ = ["MODEL_URI", "Pipeline", "Strict"]


class TrainSource(Strict):
    """What labelled data has of its own; the rest is as in `source`."""

    path: Names


class Target(Strict):
    """The column to learn. Neither `positive` nor `positive_pattern` means regression, unless the
    column is a string.

    Values of `positive` are matched by value: 1, 1.0 and "1" are one.
    """

    column: str
    positive: ClassNames | None = None
    positive_pattern: str | None = None


class Train(Strict):
    """How `train` makes the model."""

    source: TrainSource | None = None
    target: Target
    model: ModelChoice = "mlp_classifier"
    params: dict[str, Any] = Field(default_factory=dict)


class Batch(Strict):
    """Limits of one batch: rows, bytes of its columns, weight, seconds until it counts as hanging.

    `max_weight` is in the unit of the handler's `weight`, such as tokens; padding counts.
    """

    rows: RowCount = "auto"
    max_bytes: Size = 64 * 2**20
    max_weight: Annotated[Number, Field(gt=0)] | None = None
    timeout_s: Annotated[Number, Field(gt=0)] = 120.0


class Variant(Strict):
    """One more model beside the champion: served to a share of the keys, or a shadow that is never
    served.
    """

    name: str
    uri: ModelUri
    share: Annotated[Number, Field(gt=0, lt=1)] | None = None
    shadow: Flag = False


class Model(Strict):
    """Which model scores, and how.

    Attributes:
        uri: of the registry; where the file says none, `models:/<name>@champion`.
    """

    uri: ModelUri = ""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    road: Literal["auto", "direct", "arrow", "pandas"] = "auto"
    batch: Batch = Batch()
    # Equal rows of a whole run scored once: where that pays, always, or only those of one batch.
    deduplicate: Literal["auto", "always", "never"] = "auto"
    trust: Literal["none", "pickle"] = "none"
    # Categories that were not there in training, of models that list theirs: the library's own way,
    # a missing value, or a row for quarantine. It is asked when a model is registered.
    unseen: Unseen = "own"
    # A number that stands for a missing one in the rows, as `missing` of XGBoost's wrappers says,
    # which their files do not keep. It is asked when a model is registered.
    missing: Number | None = None
    # What the model computes in; its inputs and predictions are as ever.
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    compile: Flag = False
    variants: tuple[Variant, ...] = ()

    @property
    def named(self) -> NamedModel:
        """The parts of its URI."""
        named = NamedModel.of(self.uri)
        assert named is not None, "the field takes no other text"
        return named


class Checks(Strict):
    """Expectation files for the inputs and the predictions, and how many rows may go to
    quarantine.
    """

    input: str | None = None
    predictions: str | None = None
    max_quarantine_rate: Annotated[Number, Field(ge=0, le=1)] = 0.01


class Sink(Strict):
    """Where the predictions go.

    Attributes:
        table: under the lake, or a full URI; None: `predictions/<name>`.
        shared: other pipelines, which say so too, publish slices of their own there.
        carry: columns of the scored rows that stand beside the predictions.
    """

    table: TablePlace | None = None
    shared: Flag = False
    carry: Texts = ()


class RedisTarget(Strict):
    """An online store that `load` copies a published slice into."""

    kind: Literal["redis"]
    url_env: VariableName
    ttl_s: Positive | None = None


class Pipeline(Strict):
    """One pipeline file, whole."""

    name: Identifier
    description: str = ""
    source: Source
    features: tuple[dict[str, Any], ...] = ()
    train: Train | None = None
    model: Model = Model()
    checks: Checks = Checks()
    sink: Sink = Sink()
    prepare: tuple[dict[str, Any], ...] = ()
    postprocess: tuple[dict[str, Any], ...] = ()
    load: tuple[RedisTarget, ...] = ()
    schedule: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_own_model(cls, document: Any) -> Any:
        """The document with the URI of the pipeline's own model, where it names none."""
        if not isinstance(document, dict):
            return document
        name, model = document.get("name"), document.get("model", {})
        own = f"models:/{name}@{CHAMPION}"
        if isinstance(model, dict) and "uri" not in model and re.fullmatch(MODEL_URI, own):
            return {**document, "model": {**model, "uri": own}}
        return document
