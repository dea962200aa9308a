"""The shape of a pipeline file, as pydantic models: names, types, defaults.

Owns what may be written in `conf/pipelines/*.yaml`. Knows neither files nor places (see `loader`),
nor what a feature step does: a step is a name and its parameters here, and the transforms room says
which names there are.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from batchinfer.config.fields import (
    MODEL_URI,
    ClassNames,
    ColumnName,
    Duration,
    Flag,
    Identifier,
    MailAddresses,
    ModelChoice,
    ModelUri,
    Names,
    Number,
    RowCount,
    Size,
    Strict,
    TablePlace,
    Texts,
    Unseen,
    VariableName,
    Whole,
)
from batchinfer.config.shapes.described import one_or_more
from batchinfer.config.shapes.fallback_levels import Fallback
from batchinfer.config.shapes.online_stores import LoadTarget
from batchinfer.config.sources import Source
from batchinfer.contracts import CHAMPION, NamedModel
from batchinfer.schedule import read_schedule

__all__ = ["MODEL_URI", "Pipeline", "Strict"]


class TrainSource(Strict):
    """What labelled data has of its own; the rest is as in `source`.

    Attributes:
        path: where the labelled rows are; as `path` of the source.
    """

    path: Names


class Target(Strict):
    """The column to learn. Neither `positive` nor `positive_pattern` means regression, unless the
    column is a string.

    Values of `positive` are matched by value: 1, 1.0 and "1" are one.

    Attributes:
        column: the column to learn.
        positive: values that are the positive class; all others are the other one.
        positive_pattern: a regular expression; rows whose value it finds are positive.
    """

    column: str
    positive: ClassNames | None = None
    positive_pattern: str | None = None


class Train(Strict):
    """How `train` makes the model.

    Attributes:
        source: labelled rows that stand elsewhere; without it, those of `source`.
        target: what the model learns.
        model: a built-in model by its name (see docs/training.md), or a class of your own.
        params: parameters of the model and of its training; docs/training.md lists them.
    """

    source: TrainSource | None = None
    target: Target
    model: ModelChoice = "mlp_classifier"
    params: dict[str, Any] = Field(default_factory=dict)


class Batch(Strict):
    """Limits of one batch: rows, bytes of its columns, weight, seconds until it counts as hanging.

    Attributes:
        rows: rows of a batch; `auto` finds the fastest size while the run goes.
        max_bytes: most bytes of a batch's columns.
        max_weight: most that a batch weighs, in the unit of the handler's `weight`, such as tokens;
            padding counts.
        timeout_s: seconds until a batch counts as hanging; its rows are then searched for the one
            to blame.
    """

    rows: RowCount = "auto"
    max_bytes: Size = 64 * 2**20
    max_weight: Annotated[Number, Field(gt=0)] | None = None
    timeout_s: Annotated[Number, Field(gt=0)] = 120.0


class Variant(Strict):
    """One more model beside the champion: served to a share of the keys, or a shadow that is never
    served.

    Attributes:
        name: of the variant.
        uri: of its model.
        share: of the keys that it scores.
        shadow: it scores beside the champion, and is never served.
    """

    name: str
    uri: ModelUri
    share: Annotated[Number, Field(gt=0, lt=1)] | None = None
    shadow: Flag = False


class Model(Strict):
    """Which model scores, and how.

    Attributes:
        uri: of the registry; where the file says none, `models:/<name>@champion`.
        device: what scores: `auto` takes a GPU where an executor has one; `cuda` makes a missing
            GPU an error.
        road: how rows reach the model; `auto` takes the fastest that the data allow.
        batch: limits of one batch.
        deduplicate: equal rows of a whole run scored once: where that pays (`auto`), always, or
            `never`, not even those of one batch.
        reuse: rows of the published slice that have the same inputs and were scored by the same
            model are carried over: where that pays (`auto`), always, or never.
        reuse_slices: of so many published slices before it, too.
        trust: `pickle` allows models that are pickles, which can run any code.
        unseen: categories that were not there in training, of models that list theirs: the
            library's own way, a missing value (`null`), or a row for quarantine (`fail`). It is
            asked when a model is registered.
        missing: a number that stands for a missing one in the rows, as `missing` of XGBoost's
            wrappers says, which their files do not keep. It is asked when a model is registered.
        precision: what the model computes in; its inputs and predictions are as ever.
        quantize: what its linear layers multiply in, on a CPU, in place of the precision; each row
            by a scale of its own.
        compile: the module goes through `torch.compile`.
        variants: more models beside the champion; not built yet, and refused.
    """

    uri: ModelUri = ""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    road: Literal["auto", "direct", "arrow", "pandas"] = "auto"
    batch: Batch = Batch()
    deduplicate: Literal["auto", "always", "never"] = "auto"
    reuse: Literal["auto", "always", "never"] = "auto"
    reuse_slices: Annotated[Whole, Field(ge=0)] = 0
    trust: Literal["none", "pickle"] = "none"
    unseen: Unseen = "own"
    missing: Number | None = None
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    quantize: Literal["none", "int8"] = "none"
    compile: Flag = False
    variants: tuple[Variant, ...] = ()

    @property
    def computes_in(self) -> Literal["float32", "bf16", "fp16", "int8"]:
        """What decides a prediction, of `precision` and `quantize`: one of them is as it is by
        default.
        """
        return self.precision if self.quantize == "none" else self.quantize

    @property
    def named(self) -> NamedModel:
        """The parts of its URI."""
        named = NamedModel.of(self.uri)
        assert named is not None, "the field takes no other text"
        return named


class Checks(Strict):
    """Expectation files for the inputs and the predictions, and how many rows may go to
    quarantine.

    Attributes:
        input: an expectation file that judges the rows as they landed.
        predictions: an expectation file that judges the predictions before they are published.
        max_quarantine_rate: share of the rows that may go to quarantine; above it nothing lands or
            is published (exit 5).
    """

    input: str | None = None
    predictions: str | None = None
    max_quarantine_rate: Annotated[Number, Field(ge=0, le=1)] = 0.01


def _with_words(document: dict[Any, Any]) -> dict[Any, Any]:
    """The document with the key `on` in `notify`, which YAML reads as true."""
    notices = document.get("notify")
    if isinstance(notices, list):
        return {**document, "notify": [_with_word(one) for one in notices]}
    return {**document, "notify": _with_word(notices)} if isinstance(notices, dict) else document


def _with_word(notice: Any) -> Any:
    if not isinstance(notice, dict) or "on" in notice:
        return notice
    return {("on" if key is True else key): value for key, value in notice.items()}


def _check_schedule(text: str) -> str:
    read_schedule(text)
    return text


class Sink(Strict):
    """Where the predictions go.

    Attributes:
        table: under the lake, or a full URI; without it `predictions/<name>`.
        shared: other pipelines, which say so too, publish slices of their own there.
        carry: columns of the scored rows that stand beside the predictions.
    """

    table: TablePlace | None = None
    shared: Flag = False
    carry: Texts = ()


class Outcomes(Strict):
    """What came true of the predictions, for `evaluate`.

    Attributes:
        table: a Delta table, under the lake (such as `landed/<pipeline>`) or by a full URI.
        key: columns of that table that hold the key of a prediction, in the order of the source's
            key; without it, those of the same names.
        at: the column that says since when a row is known, such as a time or `slice`; of several
            rows of a key the newest counts.
        value: the column that holds what came true.
    """

    table: TablePlace
    key: Texts = ()
    at: str | None = None
    value: str


def _events(value: Any) -> Any:
    words = [value] if isinstance(value, str) else value
    if isinstance(words, (list, tuple)) and "drift" in words:
        raise ValueError(
            "got drift, but nothing detects it: checks.drift is not built yet; allowed: failed, "
            "quarantine, late"
        )
    return words


Events = Annotated[
    tuple[Literal["failed", "quarantine", "late"], ...],
    BeforeValidator(_events),
    Field(min_length=1),
    one_or_more(
        "failed, quarantine, late; one or a list", {"enum": ["failed", "quarantine", "late"]}
    ),
]


class Notice(Strict):
    """Whom a night tells what has happened: a webhook, or people by mail.

    Attributes:
        webhook_env: the variable with the webhook's address; this or `smtp_env`.
        smtp_env: the variable with the mail server's address, such as smtps://user:secret@host.
        to: addresses of the mail.
        on: failed: it ended with another code than 0; quarantine: more rows there than allowed, or
            than `rate`; late: slices from before its window landed, or it left some.
        rate: the share of rows in quarantine that is told; without it, what the checks allow.
    """

    webhook_env: VariableName | None = None
    smtp_env: VariableName | None = None
    to: MailAddresses = ()
    on: Events
    rate: Annotated[Number, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Notice:
        if (self.webhook_env is None) == (self.smtp_env is None):
            raise ValueError(
                "got both or neither of webhook_env and smtp_env; allowed: one of the two"
            )
        if (self.smtp_env is None) != (not self.to):
            raise ValueError("got one of smtp_env and to; allowed: both, or neither of the two")
        if self.rate is not None and "quarantine" not in self.on:
            raise ValueError("got a rate without quarantine in on; allowed: both, or no rate")
        return self


class Prices(Strict):
    """What the machines cost, in a currency of your choice: runs and plans then tell their cost.

    Attributes:
        cpu_hour: of one core of an executor, for an hour.
        gpu_hour: of one GPU, for an hour; a run that has a GPU has no cost without it.
    """

    cpu_hour: Annotated[Number, Field(ge=0)]
    gpu_hour: Annotated[Number, Field(ge=0)] | None = None


class Pipeline(Strict):
    """One pipeline file, whole.

    Attributes:
        name: of the pipeline; its tables, its model and its leases are named after it.
        description: what it predicts, for people.
        source: where the records come from.
        derive: columns that are made of others, each an expression of a row's own columns; before
            the features, in training, scoring and for one row alike.
        features: steps on one row alone, fitted when the model is trained.
        train: how a model is trained; without it, one that was registered is used.
        model: which model scores, and how.
        checks: what the rows and the predictions have to hold to.
        sink: where the predictions go.
        prepare: steps that need other rows, before the features.
        postprocess: steps on the predictions of one row.
        outcomes: what came true later, which `evaluate` holds published predictions against.
        load: online stores that served rows are copied into by `load`; without it, one embedded
            store.
        fallback: what answers for keys that have no fresh prediction.
        schedule: when schedulers run it: cron's five fields, in UTC.
        fresh_within: how long ago the newest published slice may have been scored, for
            `status --check`; slices of days to come do not count.
        after: pipelines of the same project; a night begins once they have published theirs.
        notify: whom a night tells what has happened.
        sensitive: columns whose values no message, example, page or log shows; what lands and what
            is published keeps them.
        prices: what the machines cost; without it, nothing is said of money.
    """

    name: Identifier
    description: str = ""
    source: Source
    derive: dict[ColumnName, str] = Field(default_factory=dict)
    features: tuple[dict[str, Any], ...] = ()
    train: Train | None = None
    model: Model = Model()
    checks: Checks = Checks()
    sink: Sink = Sink()
    prepare: tuple[dict[str, Any], ...] = ()
    postprocess: tuple[dict[str, Any], ...] = ()
    outcomes: Outcomes | None = None
    load: tuple[LoadTarget, ...] = ()
    fallback: Fallback | None = None
    schedule: Annotated[str, AfterValidator(_check_schedule)] | None = None
    fresh_within: Duration | None = None
    after: Texts = ()
    notify: tuple[Notice, ...] = ()
    sensitive: Texts = ()
    prices: Prices | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_own_model(cls, document: Any) -> Any:
        """The document with the URI of the pipeline's own model, where it names none."""
        if not isinstance(document, dict):
            return document
        document = _with_words(document)
        name, model = document.get("name"), document.get("model", {})
        own = f"models:/{name}@{CHAMPION}"
        if isinstance(model, dict) and "uri" not in model and re.fullmatch(MODEL_URI, own):
            return {**document, "model": {**model, "uri": own}}
        return document
