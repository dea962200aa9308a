"""What has to be right before a slice is scored: slice, model, signature, road. `plan` shows it,
`score` runs it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.command_reports import RunReport
from batchinfer.contracts import CHAMPION, SLICE, SOURCE_FILE, SOURCE_LINE, ModelRef
from batchinfer.errors import ConfigError, ModelError
from batchinfer.hints import Hint
from batchinfer.inference import road_choice
from batchinfer.pipeline.definition.column_names import check_source_columns
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.published_words import other_positive, read_words
from batchinfer.pipeline.definition.table_steps import differences
from batchinfer.pipeline.slices.landed import find_slice
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.pipeline.slices.table_facts import table_facts
from batchinfer.report.terminal import step

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.checks.suites import Suite
    from batchinfer.config.pipeline import Pipeline
    from batchinfer.inference.road_choice import Road
    from batchinfer.transforms import PostProcess, TransformPipeline


@dataclass(frozen=True)
class ResolvedModel:
    """A model version whose bundle is here and verified.

    Attributes:
        warnings: what can be wrong in what it says: as a bundle of an earlier build, or because the
            pipeline file means another class now; no error.
    """

    ref: ModelRef
    folder: Path
    manifest: dict[str, Any]
    signature: dict[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(column["name"] for column in self.signature["inputs"])

    @property
    def outputs(self) -> dict[str, str]:
        return {column["name"]: column["type"] for column in self.signature["outputs"]}


def resolve_model(columns: TableColumns) -> ResolvedModel:
    """Resolves the pipeline's model once, fetches its bundle, verifies it, and holds its signature
    against the columns.

    Raises:
        ConfigError: a column of `sink.carry` is none, or has the name of a prediction.
        ModelError: missing, corrupt, untrusted, code changed, or a signature that does not fit
            (exit 7).
        StorageError: the registry cannot be reached (exit 8).
    """
    from batchinfer.models.bundle import check_signature, read_signature, read_steps, verify_bundle
    from batchinfer.models.manifest import check_compile, check_precision, check_trust
    from batchinfer.models.outdated import read_outdated

    context = columns.context
    ref = context.registry.resolve(context.pipeline.model.uri)
    folder = context.registry.fetch(ref, context.bundle_cache)
    manifest = verify_bundle(folder, ref.digest, context.asked)
    check_trust(manifest, context.pipeline.model.trust)
    check_precision(manifest, context.pipeline.model.computes_in)
    check_compile(manifest, context.pipeline.model.compile)
    signature = read_signature(folder)
    problems = check_signature(signature, columns.prepared)
    # Equal names do not make equal columns: a window or a limit that changed since is another
    # input.
    problems = problems or differences(
        manifest.get("facts", {}).get("prepare", []), columns.preparation.steps
    )
    problems = problems or _check_steps(context.pipeline, *read_steps(folder))
    if problems:
        raise ModelError(
            [
                f"{ref.uri} (version {ref.version}) does not fit pipeline {context.name}: {problem}"
                for problem in problems
            ],
            hint=_remake_hint(context, manifest),
        )
    outdated = read_outdated(folder, manifest, context.asked, _own_alias(context.pipeline))
    turned = _other_positive(context, folder, manifest, signature)
    model = ResolvedModel(ref, folder, manifest, signature, (*outdated, *turned))
    _check_carried(columns, model)
    return model


def _check_carried(columns: TableColumns, model: ResolvedModel) -> None:
    """Whether a column that is carried along has the name of a prediction; Delta tells no case
    apart.
    """
    pipeline = columns.context.pipeline
    given = {name.lower(): name for name in model.outputs}
    taken = [name for name in columns.carried if name.lower() in given]
    if taken:
        raise ConfigError(
            f"pipeline {pipeline.name}: sink.carry: got {', '.join(taken)}, which {model.ref.uri} "
            f"(version {model.ref.version}) gives as a prediction; allowed: columns with other "
            f"names than {', '.join(given.values())}"
        )


def _own_alias(pipeline: Pipeline) -> str:
    return pipeline.model.named.alias or CHAMPION


def _remake_hint(context: Context, manifest: Mapping[str, Any]) -> str:
    """How a version comes to be that fits the pipeline file: as the one that does not fit did."""
    from batchinfer.models.manifest import remake_command

    alias, asked = _own_alias(context.pipeline), context.asked
    register = replace(asked, trains=False).version_command(alias)
    made = remake_command(manifest, asked, alias)
    if made is None:
        made = asked.version_command(alias)
    elif not asked.trains and made == replace(asked, trains=True).version_command(alias):
        return (
            "the model was made by train, and the pipeline file has no train section now: put it "
            f"back, or register a model trained elsewhere: {register}"
        )
    return Hint(made, " makes a version of what the pipeline file says")


def _other_positive(
    context: Context, folder: Path, manifest: Mapping[str, Any], signature: Mapping[str, Any]
) -> Iterator[str]:
    """A class that the file names as positive and the model does not. Where each class has a share,
    `score` is that of the label.
    """
    train, given = context.pipeline.train, [column["name"] for column in signature["outputs"]]
    if train is None or "score" not in given or "scores" in given:
        return
    if told := other_positive(read_words(folder, manifest), train.target):
        yield f"{told}: score is as the model has it; {_remake_hint(context, manifest)}"


def _check_steps(
    pipeline: Pipeline, transforms: TransformPipeline | None, after: PostProcess | None
) -> list[str]:
    """Where the steps of the pipeline file are not those that the bundle was made with.

    A pipeline without any scores with whatever the bundle brings along.
    """
    from batchinfer.transforms import dump_steps, parse_after, parse_steps, split_derived

    if not (pipeline.derive or pipeline.features or pipeline.postprocess):
        return []
    derived, steps = split_derived(transforms.steps if transforms else [])
    problems = [
        f"derive.{name}: got {_told(pipeline.derive.get(name), 'expression')} in the pipeline "
        f"file; the bundle has {_told(derived.get(name), 'expression')}"
        for name in dict.fromkeys([*pipeline.derive, *derived])
        if pipeline.derive.get(name) != derived.get(name)
    ]
    if not problems and list(pipeline.derive) != list(derived):
        problems.append(
            f"derive: got the order {', '.join(pipeline.derive)} in the pipeline file; the bundle "
            f"has {', '.join(derived)}"
        )
    sections = {
        "features": (dump_steps(parse_steps(pipeline.features)[0]), dump_steps(steps)),
        "postprocess": (
            dump_steps(parse_after(pipeline.postprocess)[0]),
            dump_steps(after.steps if after else []),
        ),
    }
    for section, (ours, theirs) in sections.items():
        for place, (one, other) in enumerate(zip_longest(ours, theirs)):
            if one != other:
                problems.append(
                    f"{section}, step {place + 1}: got {_told(one)} in the pipeline file; the "
                    f"bundle has {_told(other)}"
                )
    return problems


def _told(item: Any, what: str = "step") -> str:
    return f"no such {what}" if item is None else json.dumps(item, ensure_ascii=False)


def choose_slice_road(columns: TableColumns, data: SliceData) -> Road:
    """Which way the rows take to the workers, and why."""
    facts = table_facts(data.table, data.version, data.files, columns.preparation.names)
    return road_choice.road_for(columns.context.pipeline.model.road, facts)


def load_suites(pipeline: Pipeline, root: Path) -> dict[str, Suite]:
    """The pipeline's expectation suites, by what they judge (`input`, `predictions`).

    Raises:
        ConfigError: unknown expectations, or columns that the judged rows do not have.
    """
    from batchinfer.checks.suites import load_suite

    checks = pipeline.checks
    named = {"input": checks.input, "predictions": checks.predictions}
    return {kind: load_suite(root / path) for kind, path in named.items() if path}


def check_suite_columns(
    columns: TableColumns, suites: Mapping[str, Suite], model: ResolvedModel
) -> None:
    """Holds the suites against the columns that the judged rows will have.

    Raises:
        ConfigError: expectations on columns that are not there.
    """
    from batchinfer.checks.suites import check_suite

    judged = judged_columns(columns, model)
    problems = [
        problem for kind, suite in suites.items() for problem in check_suite(suite, judged[kind])
    ]
    if problems:
        raise ConfigError(problems)


def judged_columns(
    columns: TableColumns, model: ResolvedModel
) -> dict[str, Mapping[str, pa.DataType]]:
    """Arrow types of the columns that suites judge, by what they judge (`input`, `predictions`)."""
    import pyarrow as pa

    from batchinfer.config.types import parse_ddl
    from batchinfer.predictions_table import predictions_schema

    outputs = {name: parse_ddl(type_) for name, type_ in model.outputs.items()}
    published = predictions_schema(columns.key, outputs, columns.carried)
    return {
        "input": {**columns.landed, SLICE: columns.landed.get(SLICE, pa.string())},
        "predictions": dict(zip(published.names, published.types, strict=True)),
    }


def columns_to_read(columns: TableColumns, inputs: Sequence[str]) -> tuple[str, ...]:
    """Key, signature, what is carried along and the record's place, in the order of the table:
    nothing else crosses to the worker.
    """
    pipeline = columns.context.pipeline
    wanted = {*pipeline.source.key, *inputs, *pipeline.sink.carry, SOURCE_FILE, SOURCE_LINE}
    return tuple(name for name in columns.prepared if name in wanted)


@dataclass(frozen=True)
class ResolvedInputs:
    """What an attempt starts from, found and checked before a row is read.

    Attributes:
        suites: of expectations, by what they judge.
        scored_at: what the predictions say of when they were made: the inputs were found before.
            UTC.
    """

    columns: TableColumns
    data: SliceData
    model: ResolvedModel
    suites: dict[str, Suite]
    road: Road
    report: RunReport
    scored_at: dt.datetime


def resolve_inputs(context: Context, slice_: str) -> ResolvedInputs:
    """Finds the slice, the model and the suites, and holds them against each other.

    Runs on: driver.

    Raises:
        ConfigError, InputError, ModelError, StorageError: each with the exit code of the contract.
    """
    from batchinfer.lake.storage import check_writable

    report = RunReport(
        context.run_id, context.name, "published", slice=slice_, table=context.predictions
    )
    columns = TableColumns(context)
    suites = load_suites(context.pipeline, context.root)
    data = find_slice(context, slice_)
    # Before the model, which may not fit only because the file is wrong about a column.
    check_source_columns(context.loaded, columns.source)
    with step(f"looking up the model {context.pipeline.model.uri}"):
        model = resolve_model(columns)
    check_suite_columns(columns, suites, model)
    # A road that is asked for and impossible is an error on a published slice too.
    road = choose_slice_road(columns, data)
    report.precision = context.pipeline.model.computes_in
    report.model_name, report.model_version = model.ref.name, model.ref.version
    report.bundle_digest = model.ref.digest
    report.warnings += model.warnings
    report.source_table, report.source_version = data.table, data.version
    check_writable(context.environment.lake)
    return ResolvedInputs(columns, data, model, suites, road, report, dt.datetime.now(dt.UTC))
