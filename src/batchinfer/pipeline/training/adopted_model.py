"""A model trained elsewhere -> the handler that asks it here as its user asks it at home.

Owns the order: opened, fed, its words for missing values found, tried, and held against its own
library on landed rows. Knows no registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.config.pipeline import Pipeline
from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE
from batchinfer.errors import ModelError
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.pipeline.training.at_home import hold_against_home
from batchinfer.pipeline.training.derived_for_model import (
    check_all_fed,
    derived_for_columns,
    rows_to_try,
)
from batchinfer.pipeline.training.told_words import with_told_words

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.config.pipeline import Model
    from batchinfer.models.elsewhere.as_fitted import AsFitted
    from batchinfer.models.elsewhere.comparison import Comparison
    from batchinfer.models.elsewhere.feeds import Feeds
    from batchinfer.models.formats.artifact import Artifact, ForeignModule, Trust
    from batchinfer.models.formats.home import Home
    from batchinfer.transforms import TransformPipeline


@dataclass(frozen=True)
class RegisterOptions:
    """What whoever registers a model says about it.

    Attributes:
        missing: of columns what stood for a missing value in the rows that the model was fitted on:
            `none`, `nan`, or any other text, which is that word; in quotes these two are texts too.
        allow_difference: registers a model that says here something else than at home.
        reference: path of the model that this one was converted from; None: there is none.
    """

    missing: Mapping[str, str] = field(default_factory=dict)
    allow_difference: bool = False
    reference: str | None = None


@dataclass(frozen=True)
class AdoptedModel:
    """A model that was tried.

    Attributes:
        module: the opened artefact.
        trust: what a run that loads it has to trust.
        comparisons: with its own library, and with the model that it was converted from.
        warnings: sentences for whoever registers it.
    """

    handler: AsFitted
    module: ForeignModule
    trust: Trust
    comparisons: Sequence[Comparison] = ()
    warnings: Sequence[str] = ()


def adopt_model(
    columns: TableColumns,
    artifact: Artifact,
    transforms: TransformPipeline | None,
    *,
    fitted: bool,
    options: RegisterOptions,
) -> AdoptedModel:
    """Opens an artefact, and finds out how it is fed and what it gives.

    Args:
        transforms: of the pipeline's features; None: it has none.
        fitted: whether these have state that a model may have been trained on the output of.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: a setting about a column that the model is not fed.
        ModelError: damaged, not trusted, does not fit the columns, fails on rows, or says here
            something else than at home.
    """
    from batchinfer.models.elsewhere.feeds import takes_of_trees
    from batchinfer.models.elsewhere.probing import probe
    from batchinfer.models.elsewhere.tree_feeds import with_missing_number, with_unseen
    from batchinfer.models.formats.estimator_predictor import told_by_steps
    from batchinfer.models.formats.estimator_words import category_texts

    context = columns.context
    derived = derived_for_columns(transforms)
    fields = dict(columns.prepared)
    if derived is not None:
        # The model takes columns as they are: from here on, derived ones are like landed ones.
        fields, transforms = derived.steps[0].output_fields(fields), None
    module, trust = _opened(columns, fields, artifact, transforms)
    feeds = _feeds(columns, fields, artifact, module, transforms or derived, fitted)
    check_all_fed(derived, feeds)
    feeds = with_told_words(feeds, options.missing, fields, told_by_steps(module, category_texts))
    rows, why_none = rows_to_try(context, feeds, derived)
    positive, warnings = _positive(context.pipeline)
    probed = probe(module, feeds, transforms, fields, positive, rows)
    takes = takes_of_trees(module)
    # Not before it is tried: rows may hold categories that the model has not seen.
    asked = context.pipeline.model
    held = with_unseen(probed.handler.params["feeds"], takes, asked.unseen)
    held = with_missing_number(held, takes, asked.missing)
    handler = _with_found_words(_fed(probed.handler, held), feeds, rows, fields)
    warnings += [*probed.warnings, *_rounded(feeds, fields)]
    warnings += [*_zeros_for_missing(transforms, fitted), *_no_classes(context.pipeline, handler)]
    compared, told = hold_against_home(
        handler,
        lambda: [
            _own_home(artifact, module, asked),
            *([_reference(options.reference, asked.trust)] if options.reference else []),
        ],
        rows,
        why_none,
        allow_difference=options.allow_difference,
    )
    return AdoptedModel(handler, module, trust, compared, [*warnings, *told])


def _opened(
    columns: TableColumns,
    fields: Mapping[str, pa.DataType],
    artifact: Artifact,
    transforms: TransformPipeline | None,
) -> tuple[ForeignModule, Trust]:
    """The model as a module on the CPU, and what a run that loads it has to trust."""
    from batchinfer.models.formats import catalogue
    from batchinfer.models.formats.recognition import SAFETENSORS

    trust = columns.context.pipeline.model.trust
    if artifact.format == SAFETENSORS:
        return _weights(columns, fields, artifact, transforms), "none"
    module = catalogue.open_artifact(artifact.format, artifact.data, "cpu", trust)
    return module, catalogue.needed_trust(artifact.format, artifact.data)


def _weights(
    columns: TableColumns,
    fields: Mapping[str, pa.DataType],
    artifact: Artifact,
    transforms: TransformPipeline | None,
) -> ForeignModule:
    from batchinfer.models.formats.weights import class_beside, open_weights
    from batchinfer.models.parameters import class_path_of, split_params

    beside = class_beside(Path(artifact.origin))
    if beside is not None:
        return open_weights(artifact.data, *beside)
    settings = columns.context.pipeline.train
    if settings is None:
        raise ModelError(
            "safetensors hold weights only, and nothing says of which class: "
            f"no {Path(artifact.origin).with_suffix('.json').name} beside the file, and no "
            "train.model in the pipeline file",
            'allowed: {"class": "package.module:Class", "arguments": {…}} beside the file, or '
            "train.model and train.params",
        )
    width = transforms.width if transforms is not None else len(_candidates(columns, fields))
    arguments = {"features": width, "outputs": 1, **split_params(settings.params)[1]}
    model: Any = settings.model
    return open_weights(artifact.data, class_path_of(model), arguments)


def _candidates(columns: TableColumns, fields: Mapping[str, pa.DataType]) -> list[str]:
    from batchinfer.models.elsewhere.feeds import is_number

    excluded = _excluded(columns.context.pipeline)
    return [name for name, type_ in fields.items() if name not in excluded and is_number(type_)]


def _excluded(pipeline: Pipeline) -> set[str]:
    """Columns that no model is fed unless it asks for them by name."""
    from batchinfer.transforms import Derive

    rule = pipeline.source.slice
    excluded = {
        *pipeline.source.key,
        SOURCE_FILE,
        SOURCE_LINE,
        rule if isinstance(rule, str) else rule.column,
    }
    excluded |= {pipeline.train.target.column} if pipeline.train else set()
    return excluded | (set(Derive.of(pipeline.derive).helpers) if pipeline.derive else set())


def _feeds(
    columns: TableColumns,
    fields: Mapping[str, pa.DataType],
    artifact: Artifact,
    module: ForeignModule,
    transforms: TransformPipeline | None,
    fitted: bool,
) -> Feeds:
    from batchinfer.models.elsewhere.feeds import feed_from_columns, feed_from_transforms
    from batchinfer.transforms import kept_columns, only_kept

    steps = transforms.steps if transforms else []
    if transforms is None or (derived_for_columns(transforms) and not only_kept(steps)):
        return feed_from_columns(
            module, artifact.columns, fields, _excluded(columns.context.pipeline)
        )
    if only_kept(steps):
        kept = {name: fields[name] for name in kept_columns(steps)}
        return feed_from_columns(module, artifact.columns, kept, ())
    return feed_from_transforms(module, transforms, missing_is_nan=not fitted)


def _positive(pipeline: Pipeline) -> tuple[Callable[[Sequence[str]], int], list[str]]:
    """The place of the positive one of two classes, and where sentences about it are put."""
    from batchinfer.models.class_names import idle_positive, positive_place, unused_positive

    settings, warnings = pipeline.train, list[str]()

    def place(labels: Sequence[str]) -> int:
        if settings is None:
            return 1
        several = len(labels) != 2
        unused = unused_positive(labels, settings.target) if several else None
        found = None if several else positive_place(labels, settings.target)
        told = (unused, idle_positive(labels, settings.target))
        warnings.extend(sentence for sentence in told if sentence)
        return 1 if found is None else found

    return place, warnings


def _with_found_words(
    handler: AsFitted,
    feeds: Feeds,
    rows: pa.RecordBatch | None,
    fields: Mapping[str, pa.DataType],
) -> AsFitted:
    """The handler with words for missing values wherever a column of its frame has two."""
    from batchinfer.models.elsewhere.example_rows import example_rows
    from batchinfer.models.elsewhere.word_trials import find_required, find_words
    from batchinfer.models.formats.estimator_predictor import told_by_steps
    from batchinfer.models.formats.estimator_words import nan_fills

    module: Any = handler.module
    tried = example_rows(module, feeds, fields, 3, None) if rows is None else rows
    # Gaps in other columns would hide what the model makes of those that are tried.
    whole = tried.drop_null().slice(0, 50)
    tried = whole if whole.num_rows else tried.slice(0, 50)
    # A fill that the rows hold as a text of their own proves nothing.
    met_nan = [
        name
        for name, fill in told_by_steps(module, nan_fills).items()
        if rows is None or fill not in rows.column(name).to_pylist()
    ]
    told = {name: word.to_json() for name, word in find_words(handler, tried, met_nan).items()}
    if told:
        handler = _fed(handler, [_with_words(feed, told) for feed in handler.params["feeds"]])
    required = find_required(handler, tried)
    return _fed(handler, [_with_required(feed, required) for feed in handler.params["feeds"]])


def _with_words(feed: dict[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """The feed of a frame with the words that were found; those that it has already stay."""
    return {**feed, "words": {**told, **feed.get("words", {})}} if feed["type"] == "frame" else feed


def _with_required(feed: dict[str, Any], required: Sequence[str]) -> dict[str, Any]:
    own = [name for name in required if name in feed.get("columns", ())]
    return {**feed, "required": own} if own else feed


def _fed(handler: AsFitted, feeds: list[dict[str, Any]]) -> AsFitted:
    """The same handler with other feeds."""
    params = handler.params | {"feeds": feeds}
    return type(handler)(handler.module, handler.transforms, params, handler.columns)


def _no_classes(pipeline: Pipeline, handler: AsFitted) -> list[str]:
    """What to say where the pipeline names a positive class, and the model names no classes."""
    from batchinfer.models.class_names import positive_setting, says_positive

    settings = pipeline.train
    if settings is None or not says_positive(settings.target) or handler.params.get("labels"):
        return []
    columns = ", ".join(handler.output)
    return [
        f"{positive_setting(settings.target)}, which is not used: the model names no classes, and "
        f"gives {columns} as it is"
    ]


def _rounded(feeds: Feeds, fields: Mapping[str, pa.DataType]) -> list[str]:
    """What to say where the model's signature asks for less than the columns have."""
    narrowed = [
        name
        for feed in feeds.feeds
        for name, type_ in feed.get("casts", {}).items()
        if type_ == "float" and str(fields[name]) in ("double", "int64", "int32")
    ]
    if not narrowed:
        return []
    return [
        f"the model's signature takes float in {', '.join(narrowed)}: values are rounded to 32 bits"
    ]


def _zeros_for_missing(transforms: TransformPipeline | None, fitted: bool) -> list[str]:
    """What to say where a number that is missing after the features reaches the model as 0."""
    if transforms is None or not fitted:
        return []
    from batchinfer.models.elsewhere.feeds import unfilled_columns

    zeros = unfilled_columns(transforms)
    if not zeros:
        return []
    return [
        f"a missing number in {', '.join(zeros[:5])} reaches the model as 0, as the features make "
        "it: right only if the model was trained on the output of these features; impute it, or "
        "keep the column (features: [{keep: {columns: […]}}]) where the model knows missing values"
    ]


def _home(artifact: Artifact, module: ForeignModule, trust: Trust) -> Home:
    from batchinfer.models.formats.catalogue import open_at_home
    from batchinfer.models.formats.home import module_at_home
    from batchinfer.models.formats.recognition import SAFETENSORS

    if artifact.format == SAFETENSORS:
        return module_at_home(module)
    return open_at_home(artifact.format, artifact.data, trust)


def _own_home(artifact: Artifact, module: ForeignModule, asked: Model) -> Home:
    """The model in its own library, as its user asks it where a number stands for a missing one."""
    from batchinfer.models.elsewhere.feeds import takes_of_trees
    from batchinfer.models.formats.home import with_gaps

    home, takes = _home(artifact, module, asked.trust), takes_of_trees(module)
    if takes is None or asked.missing is None:
        return home
    return with_gaps(home, asked.missing, takes.type)


def _reference(path: str, trust: Trust) -> Home:
    from batchinfer.models.formats.catalogue import open_at_home
    from batchinfer.models.formats.recognition import SAFETENSORS, read_artifact

    artifact = read_artifact(Path(path).expanduser(), trust)
    if artifact.format == SAFETENSORS:
        raise ModelError(
            f"--reference {path}: safetensors hold weights only; allowed: the model in its own "
            "library's format"
        )
    return open_at_home(artifact.format, artifact.data, trust)
