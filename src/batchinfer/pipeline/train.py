"""`train`: landed records with labels -> fitted transforms + PyTorch model -> one bundle in the
registry.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer import contracts
from batchinfer.command_reports import ExtractReport, TrainReport
from batchinfer.config.fields import check_alias
from batchinfer.config.types import spark_name
from batchinfer.errors import ConfigError, InputError, ModelError
from batchinfer.models.parameters import library_of
from batchinfer.pipeline.definition.alias_moves import warn_of_words
from batchinfer.pipeline.definition.column_names import check_source_columns
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.feature_steps import pipeline_steps
from batchinfer.pipeline.definition.small_runs import is_read_here, workplace_opener
from batchinfer.pipeline.run_record import recorded
from batchinfer.pipeline.slices.landed import read_landed_slices
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.slice_splits import splits_of
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.pipeline.training.fit_passes import Labels, fit_transforms
from batchinfer.pipeline.training.last_values import LastValues, last_value_column
from batchinfer.pipeline.training.learned_rows import (
    examples_of,
    fields_to_learn_from,
    rows_to_learn_from,
)
from batchinfer.pipeline.training.newest_rows import find_superseded, superseded_warning
from batchinfer.pipeline.training.rows_left_out import RowsLeftOut
from batchinfer.pipeline.training.training_data import training_data
from batchinfer.pipeline.training.validation import ValidationRule, choose_validation
from batchinfer.report.terminal import progress, step
from batchinfer.spark.capacity import workers
from batchinfer.spark.session import import_spark
from batchinfer.spark.tasks import Workplace

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.config.fields import ModelChoice
    from batchinfer.config.pipeline import Pipeline, Train
    from batchinfer.models.target_reader import Batch
    from batchinfer.models.training import Trained, TrainSpec
    from batchinfer.report.model_card import ModelFacts
    from batchinfer.spark.session import OpenSession
    from batchinfer.transforms import TransformPipeline


_FEW_ROWS = 50


@recorded("train")
def train_pipeline(
    context: Context,
    slices: Sequence[str],
    open_session: OpenSession,
    alias: str = contracts.CHAMPION,
    landed_first: ExtractReport | None = None,
) -> TrainReport:
    """Fits, trains and registers one model version, and points the alias at it.

    Args:
        slices: slices of the landed table to learn from; none means all of them, where slices are
            days of landing one row a key, that of the newest.
        landed_first: what landed for this training, to be told with it.

    Runs on: driver; fitting on executors, or here where the rows are few.

    Raises:
        ConfigError: the pipeline has no `train` section or no features, or the alias cannot be one.
        InputError: no labelled rows, or labels of one class only.
        TooManyQuarantined: a step fails on more rows than `checks.max_quarantine_rate` allows.
    """
    settings = _check_settings(context, alias)
    started = time.perf_counter()
    report = TrainReport(context.run_id, context.name, "registered", alias=alias)
    report.landed_first = landed_first
    check_model_class(settings.model)
    data = training_data(context, settings, slices, open_session)
    open_workplace = workplace_opener(context.environment, open_session, data.size, data.rows)
    # MLflow takes seconds to import: they pass while Spark starts, or the transforms are fitted.
    # What this thread needs as well is imported before.
    if context.pipeline.prepare or not is_read_here(context.environment, data.size, data.rows):
        import_spark()
    else:
        import_module("torch")
    context.registry.prepare()
    columns = TableColumns(context)
    landed = fields_to_learn_from(columns, data)
    check_source_columns(context.loaded, landed, target_needed=True)
    superseded = find_superseded(columns, data, landed, open_session)
    if slices:
        report.warnings += superseded_warning(superseded)
        superseded = None
    report.rows_superseded = superseded.rows if superseded else 0
    began = time.perf_counter()
    with rows_to_learn_from(columns, data, landed, open_session, superseded) as rows:
        if context.pipeline.prepare:
            report.stage_seconds["prepare"] = round(time.perf_counter() - began, 3)
        if not rows.rows:
            raise InputError(
                f"{data.table}: no rows to learn from in slices "
                f"{', '.join(slices) or 'of the landed table'}"
            )
        transforms, rule = _fit(columns, settings, rows, open_workplace(), report)
        _train_and_register(columns, settings, rows, transforms, rule, alias, report)
    report.source_table, report.source_version = data.table, data.version
    report.seconds = round(time.perf_counter() - started, 3)
    return report


def _check_settings(context: Context, alias: str) -> Train:
    check_alias(alias)
    settings = context.pipeline.train
    if settings is None:
        raise ConfigError(
            f"{context.loaded.file}: no train section; allowed: train with a target and a model",
            "a section such as train: {target: {column: COLUMN}} says what is learned; a model "
            "trained elsewhere, or a handler, is no business of train: "
            f"{context.asked.version_command()}, where PATH is its file",
        )
    if not (context.pipeline.features or context.pipeline.derive):
        raise ConfigError(
            f"{context.loaded.file}: no features, but train needs some: columns that a step "
            "changes or makes"
        )
    return settings


def lacks_rows(context: Context, alias: str) -> bool:
    """Whether the source has to land before its rows can be learned from. Labelled data with a
    source of its own is landed by the training itself.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: as `train_pipeline`, before anything lands.
    """
    settings = _check_settings(context, alias)
    check_model_class(settings.model)
    return settings.source is None and not read_landed_slices(context)


def check_model_class(model: ModelChoice) -> None:
    """Finds out before Spark starts whether the library of a model, or a class of the user's own,
    can be imported.

    Raises:
        ConfigError: no such module or class, or not a torch module.
        SetupError: the library is not installed.
    """
    if isinstance(model, str):
        if needed := library_of(model):
            from batchinfer.models.formats.boosting.boosted import library

            library(needed)
        return
    import torch

    from batchinfer.models.mlp import load_class

    try:
        load_class(model["python"], torch.nn.Module)
    except ModelError as error:
        raise ConfigError(
            [f"train.model.python: {problem}" for problem in error.problems], error.hint
        ) from error


def _fit(
    columns: TableColumns,
    settings: Train,
    data: SliceData,
    workplace: Workplace,
    report: TrainReport,
) -> tuple[TransformPipeline, ValidationRule]:
    from batchinfer.models.parameters import task_of
    from batchinfer.transforms import dump_steps

    started = time.perf_counter()
    context = columns.context
    steps = pipeline_steps(context.pipeline)
    used = {name for step in steps for name in step.columns}
    known = fields_to_learn_from(columns, data)
    fields = {name: type_ for name, type_ in known.items() if name in used}
    splits = splits_of(data, workers(workplace))
    task = task_of(settings.target, known[settings.target.column], settings.model)
    rule = choose_validation(settings.params, workplace, splits, settings.target.column)
    labels = Labels(settings.target, task, tuple(context.pipeline.source.key), rule)
    fitted = fit_transforms(workplace, dump_steps(steps), steps, fields, splits, labels)
    report.stage_seconds["fit"] = round(time.perf_counter() - started, 3)
    return fitted, rule


def _train_and_register(
    columns: TableColumns,
    settings: Train,
    data: SliceData,
    transforms: TransformPipeline,
    rule: ValidationRule,
    alias: str,
    report: TrainReport,
) -> None:
    from batchinfer.models.bundle_writing import write_bundle
    from batchinfer.models.handler import Postprocessed
    from batchinfer.models.metrics import measured_against, metric_warnings
    from batchinfer.models.training import TrainSpec
    from batchinfer.pipeline.training.fit_after import fit_postprocess, mapped_labels
    from batchinfer.report.model_card import write_card

    context = columns.context
    started = time.perf_counter()
    integers = {
        name: (found.vocabulary, found.length)
        for name, found in transforms.inputs().integers.items()
    }
    spec = TrainSpec(
        settings.model,
        dict(settings.params),
        settings.target,
        transforms.width,
        integers,
        mapped=mapped_labels(context.pipeline.postprocess),
        names=tuple(transforms.feature_names()),
    )
    left_out, last = RowsLeftOut(), _last_values(columns, settings, data)
    trained = _trained(
        spec,
        transforms,
        lambda: examples_of(columns, settings, data, transforms, rule, left_out, last),
    )
    report.rows_unfit = left_out.rows
    report.warnings += left_out.warnings(data.rows)
    if last is not None:
        compared, told = last.metrics(trained)
        warnings = [*trained.warnings, *told]
        trained = replace(trained, metrics={**trained.metrics, **compared}, warnings=warnings)
    report.stage_seconds["train"] = round(time.perf_counter() - started, 3)
    report.metrics, report.rows_train = dict(trained.metrics), trained.rows_train
    where = f"column {last.column}" if last is not None else ""
    report.measured_against = measured_against(trained.metrics, last=where)
    report.rows_validation, report.rows_without_label = (
        trained.rows_validation,
        trained.rows_dropped,
    )
    report.warnings += trained.warnings
    if trained.rows_train < _FEW_ROWS:
        report.warnings.append(
            f"only {trained.rows_train} rows to learn from: what the metrics say is chance"
        )
    report.warnings += metric_warnings(trained.metrics) if trained.rows_validation else []
    started = time.perf_counter()
    postprocess, calibrated = fit_postprocess(context.pipeline.postprocess, trained, transforms)
    report.metrics |= calibrated
    facts: dict[str, Any] = {
        "training_table": data.table, "training_version": data.version, "metrics": report.metrics,
        "pipeline": context.name
    }  # fmt: skip
    facts |= columns.preparation.facts()
    outputs = (
        dict(trained.handler.output)
        if postprocess is None
        else Postprocessed(trained.handler, postprocess).output
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder, card = Path(scratch) / "bundle", Path(scratch) / "card"
        card.mkdir()
        write_bundle(
            folder, handler=trained.handler,
            module=None if trained.artifact is not None else trained.module,
            artifact=trained.artifact,
            transforms=transforms.released(),
            signature=_signature(fields_to_learn_from(columns, data), transforms, outputs),
            facts=facts, postprocess=postprocess,
        )  # fmt: skip
        context.registry.settle()  # it draws, and MLflow looks at libraries that draw
        write_card(
            _card_facts(
                context.pipeline, settings, data, transforms, rule, trained, outputs, report
            ),
            card,
        )
        name = context.pipeline.model.named.name
        with step(f"registering the model {name}"):
            former = context.registry.holder(name, alias)
            ref = context.registry.register(
                name, folder, alias, metrics=report.metrics,
                params=dict(settings.params),
                tags={"pipeline": context.name, "run_id": context.run_id,
                "training_version": str(data.version)},
                curve=trained.curve, card=card,
            )  # fmt: skip
    report.warnings += warn_of_words(context, alias, former, ref)
    report.stage_seconds["register"] = round(time.perf_counter() - started, 3)
    report.model_name, report.model_version, report.bundle_digest = (
        ref.name,
        ref.version,
        ref.digest,
    )


def _last_values(columns: TableColumns, settings: Train, data: SliceData) -> LastValues | None:
    """Takes the last known values of the target, where a step looks back at it."""
    name = last_value_column(columns.preparation.steps, settings.target.column)
    known = name in fields_to_learn_from(columns, data)
    return LastValues(name, settings.target) if name is not None and known else None


def _trained(
    spec: TrainSpec, transforms: TransformPipeline, examples: Callable[[], Iterable[Batch]]
) -> Trained:
    from batchinfer.models.training import train_model

    if not library_of(spec.model):
        with progress(f"training {spec.model}", spec.epochs) as advance:
            return train_model(spec, examples, lambda *_: advance(1))
    from batchinfer.models.tree_training import train_trees, tree_setting

    rounds = tree_setting(spec.params, "rounds")
    with progress(f"training {spec.model}", rounds) as advance:
        return train_trees(spec, spec.names, examples, lambda *_: advance(1))


def _card_facts(
    pipeline: Pipeline,
    settings: Train,
    data: SliceData,
    transforms: TransformPipeline,
    rule: ValidationRule,
    trained: Trained,
    outputs: Mapping[str, str],
    report: TrainReport,
) -> ModelFacts:
    from batchinfer.report.model_card import ModelFacts

    inputs = transforms.inputs()
    return ModelFacts(
        name=pipeline.model.named.name,
        pipeline=pipeline.name,
        description=pipeline.description,
        task=trained.task + (f" ({', '.join(trained.labels[:20])})" if trained.labels else ""),
        model=settings.model if isinstance(settings.model, str) else settings.model["python"],
        params=settings.params,
        target=settings.target.column,
        table=data.table,
        version=data.version,
        rows_train=report.rows_train,
        rows_validation=report.rows_validation,
        rows_without_label=report.rows_without_label,
        rows_superseded=report.rows_superseded,
        measured_against=report.measured_against,
        validation=f"{rule.share:.0%}, "
        + ("by a hash of the key" if rule.by is None else f"the latest by {rule.by}"),
        features=transforms.fed_columns(),
        width=transforms.width,
        integers={name: found.length or 1 for name, found in inputs.integers.items()},
        outputs=outputs,
        metrics=report.metrics,
        curve=trained.curve,
        warnings=report.warnings,
    )


def _signature(
    fields: Mapping[str, pa.DataType], transforms: TransformPipeline, outputs: Mapping[str, str]
) -> dict[str, Any]:
    inputs = [
        {"name": name, "type": spark_name(fields[name])} for name in transforms.source_columns
    ]
    return {
        "inputs": inputs,
        "outputs": [{"name": name, "type": type_} for name, type_ in outputs.items()],
    }
