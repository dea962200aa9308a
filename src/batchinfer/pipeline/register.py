"""`register`: a model trained elsewhere -> a bundle in the registry. No Spark."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.command_reports import RegisterReport
from batchinfer.config.fields import check_alias
from batchinfer.config.loader import Loaded
from batchinfer.config.pipeline import Pipeline
from batchinfer.config.project import no_such_file
from batchinfer.config.types import parse_ddl, spark_name
from batchinfer.contracts import CHAMPION, SOURCE_FILE, SOURCE_LINE
from batchinfer.errors import ConfigError, ModelError
from batchinfer.models.formats.catalogue import READING
from batchinfer.models.parameters import check_class_path
from batchinfer.models.registered import READING_TAG
from batchinfer.pipeline.definition.alias_moves import not_in_use, warn_of_words
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.run_record import recorded
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.pipeline.training.adopted_model import RegisterOptions, adopt_model
from batchinfer.pipeline.training.derived_for_model import derived_for_columns
from batchinfer.pipeline.training.found_transforms import find_transforms

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.transforms import PostProcess, TransformPipeline


_FETCHED = ("models", "runs", "mlflow-artifacts")


@recorded("register")
def register_model(
    context: Context,
    artifact: str,
    alias: str | None = None,
    options: RegisterOptions = RegisterOptions(),  # noqa: B008 - a frozen value
) -> RegisterReport:
    """Makes a bundle of a model trained elsewhere, and registers it as the next version of the
    pipeline's model.

    Args:
        artifact: a path, the URI of an MLflow model (`models:/…`, `runs:/…`), or a handler class
            (`package.module:Class`).
        alias: to give to the version; None gives the pipeline's own alias, if no version has it
            yet.
        options: what is said about the model.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: an alias or a URI that cannot be, or a file that is not there; told before
            anything that takes seconds is loaded.
        ModelError: the artefact is missing, damaged, not trusted, or does not fit the pipeline's
            columns.
        StorageError: the registry does not answer.
    """
    started = time.perf_counter()
    columns = TableColumns(context)
    name, own_alias = _asked(context.pipeline)
    if alias is not None:
        check_alias(alias)
    scheme = _scheme(artifact)
    is_class = not scheme and not check_class_path(artifact) and not Path(artifact).exists()
    if not is_class and scheme not in _FETCHED:
        _check_there("--artifact", artifact, "a file or a folder of a model")
    if options.reference is not None:
        _check_there("--reference", options.reference, "the file of a model")
    context.registry.prepare()
    import_module("torch")  # takes seconds, which pass while MLflow is loaded
    context.registry.settle()
    with tempfile.TemporaryDirectory(prefix="batchinfer-") as scratch:
        folder = Path(scratch) / "bundle"
        if is_class:
            made = _bundle_handler(columns, artifact, name, folder)
        else:
            path = (
                context.registry.download(artifact, Path(scratch))
                if scheme in _FETCHED
                else _local(artifact)
            )
            made = _bundle_artifact(columns, path, name, folder, options)
        report = _register(context, name, folder, alias, own_alias, made)
    report.artifact = artifact
    report.seconds = round(time.perf_counter() - started, 3)
    return report


def _asked(pipeline: Pipeline) -> tuple[str, str]:
    """Name in the registry and alias of the pipeline's model URI."""
    named = pipeline.model.named
    return named.name, named.alias or CHAMPION


def _scheme(artifact: str) -> str:
    scheme, separator, _ = artifact.partition(":/")
    scheme = scheme if separator else ""
    if not artifact or (scheme and scheme not in (*_FETCHED, "file")):
        raise ConfigError(
            f"--artifact: got {artifact!r}; allowed: a path, an MLflow model as "
            "models:/NAME/VERSION or runs:/ID/PATH, "
            "or a handler as package.module:Class"
        )
    return scheme


def _local(artifact: str) -> Path:
    if artifact.startswith("file:/"):
        import urllib.parse
        import urllib.request

        artifact = urllib.request.url2pathname(urllib.parse.urlsplit(artifact).path)
    return Path(artifact).expanduser()


def _check_there(option: str, given: str, allowed: str) -> None:
    place = Path(os.path.abspath(_local(given)))
    if not os.path.exists(place):
        raise ConfigError(f"{option}: {no_such_file(given, place)}; allowed: {allowed}")


@dataclass(frozen=True)
class _Made:
    """A bundle that was written: what its report says besides the version that it becomes."""

    format: str
    trust: str
    transforms_from: str
    signature: Mapping[str, Any]
    source: str
    warnings: Sequence[str] = ()
    comparisons: Sequence[Mapping[str, Any]] = ()
    feeds: Sequence[Mapping[str, Any]] = ()

    def columns(self, side: str) -> dict[str, str]:
        """`inputs` or `outputs` of the signature with their Spark SQL types."""
        return {one["name"]: one["type"] for one in self.signature[side]}


def _bundle_artifact(
    columns: TableColumns, path: Path, name: str, folder: Path, options: RegisterOptions
) -> _Made:
    """A bundle of a model in a file or a folder."""
    from batchinfer.models.formats.recognition import SAFETENSORS, read_artifact

    trust = columns.context.pipeline.model.trust
    artifact = read_artifact(path, trust)
    transforms, origin = find_transforms(columns, name)
    try:
        adopted = adopt_model(columns, artifact, transforms, fitted=bool(origin), options=options)
    except ModelError as error:
        raise ModelError(
            [f"{path}: {problem}" for problem in error.problems], error.hint
        ) from error
    handler, plain = adopted.handler, artifact.format == SAFETENSORS
    if plain:
        handler.module = getattr(adopted.module, "module")  # noqa: B009 - a submodule, which type checkers take for a tensor
    comparisons = [one.to_json() for one in adopted.comparisons]
    digest = _sha256(artifact.data)
    facts = {
        "transforms_from": origin,
        "artifact": {"name": path.name, "sha256": digest},
        "held_against": comparisons,
    }
    saved: dict[str, Any] = (
        {"module": handler.module} if plain else {"module": None, "artifact": artifact}
    )
    signature = _write(
        columns, folder, handler, handler.columns, transforms, facts, trust=adopted.trust,
        **saved, **_handed(transforms, handler),
    )  # fmt: skip
    source = f"{path.name}, SHA-256 {digest}"
    feeds = handler.params["feeds"]
    return _Made(
        artifact.format, adopted.trust, origin, signature, source, adopted.warnings, comparisons,
        feeds,
    )  # fmt: skip


def _bundle_handler(columns: TableColumns, class_path: str, name: str, folder: Path) -> _Made:
    """A bundle of a handler of the user's own, which brings its model along in its code.

    Without `features` it gets all columns of the source but the target, and all derived ones.
    """
    from batchinfer.models.handler import Handler
    from batchinfer.models.mlp import load_class
    from batchinfer.transforms import kept_columns

    transforms, origin = find_transforms(columns, name)
    settings = columns.context.pipeline.train
    derived = derived_for_columns(transforms)
    if transforms is not None and (derived is None or columns.context.pipeline.features):
        inputs = tuple(kept_columns(transforms.steps) if derived else transforms.source_columns)
    else:
        hidden = {SOURCE_FILE, SOURCE_LINE, *([settings.target.column] if settings else [])}
        inputs = tuple(column for column in columns.prepared if column not in hidden)
        inputs += tuple(derived.steps[0].makes()) if derived else ()
    handler: Any = load_class(class_path, Handler)(
        None,
        None if derived else transforms,
        dict(settings.params) if settings else {},
        inputs,
    )
    signature = _write(
        columns, folder, handler, inputs, transforms, {"transforms_from": origin}, module=None,
        **_handed(transforms, handler),
    )  # fmt: skip
    return _Made("handler", "none", origin, signature, class_path)


def _handed(transforms: TransformPipeline | None, handler: Any) -> dict[str, Any]:
    """What `write_bundle` is told of a handler that takes derived columns as they are."""
    return {"handed": handler.columns} if derived_for_columns(transforms) else {}


def _write(
    columns: TableColumns,
    folder: Path,
    handler: Any,
    inputs: Sequence[str],
    transforms: TransformPipeline | None,
    facts: Mapping[str, Any],
    **saved: Any,
) -> dict[str, Any]:
    """Writes the bundle, the pipeline's steps after the model included; its signature.

    Args:
        inputs: the model's inputs, in order.
        saved: how the model itself is kept, as `write_bundle` takes it.
    """
    from batchinfer.models.bundle_writing import write_bundle
    from batchinfer.models.deriving import HandedColumns
    from batchinfer.models.handler import Postprocessed

    postprocess = _postprocess(columns.context.loaded, handler, transforms)
    outputs = dict(
        handler.output if postprocess is None else Postprocessed(handler, postprocess).output
    )
    if transforms is not None and saved.get("handed"):
        inputs = HandedColumns(transforms, inputs).sources
    signature = _signature(inputs, columns.prepared, outputs)
    write_bundle(
        folder, handler=handler, transforms=transforms, signature=signature,
        postprocess=postprocess,
        facts={"pipeline": columns.context.name, **facts, **columns.preparation.facts()}, **saved,
    )  # fmt: skip
    return signature


def _register(
    context: Context, name: str, folder: Path, alias: str | None, own_alias: str, made: _Made
) -> RegisterReport:
    if alias is None:
        alias = own_alias if context.registry.holder(name, own_alias) is None else ""
    tags = {
        "pipeline": context.name,
        "run_id": context.run_id,
        "format": made.format,
        "trust": made.trust,
        READING_TAG: str(READING),
    }
    former = context.registry.holder(name, alias) if alias else None
    card = folder.with_name("card")
    _write_card(context.pipeline, name, made, card)
    ref = context.registry.register(name, folder, alias or None, tags=tags, card=card)
    unused = not_in_use(context, ref)
    told = [*warn_of_words(context, alias, former, ref), *([unused] if unused else [])]
    return RegisterReport(
        context.run_id, context.name, "registered", model_name=ref.name, model_version=ref.version,
        bundle_digest=ref.digest,
        alias=alias, format=made.format, trust=made.trust,
        inputs=made.columns("inputs"), outputs=made.columns("outputs"),
        transforms_from=made.transforms_from, in_use=not unused,
        held_against=[dict(one) for one in made.comparisons], warnings=[*made.warnings, *told],
    )  # fmt: skip


def _write_card(pipeline: Pipeline, name: str, made: _Made, folder: Path) -> None:
    from batchinfer.report.registered_card import RegisteredFacts, write_registered_card

    folder.mkdir()
    facts = RegisteredFacts(
        name=name,
        pipeline=pipeline.name,
        description=pipeline.description,
        format=made.format,
        artifact=made.source,
        trust=made.trust,
        inputs=made.columns("inputs"),
        outputs=made.columns("outputs"),
        feeds=made.feeds,
        comparisons=made.comparisons,
        transforms_from=made.transforms_from,
        warnings=made.warnings,
    )
    write_registered_card(facts, folder)


def _sha256(data: bytes) -> str:
    from batchinfer.models.manifest import sha256

    return sha256(data)


def _signature(
    columns: Sequence[str], fields: Mapping[str, pa.DataType], outputs: Mapping[str, str]
) -> dict[str, Any]:
    inputs = [{"name": name, "type": spark_name(fields[name])} for name in columns]
    return {
        "inputs": inputs,
        "outputs": [{"name": name, "type": type_} for name, type_ in outputs.items()],
    }


def _postprocess(
    loaded: Loaded, handler: Any, transforms: TransformPipeline | None
) -> PostProcess | None:
    """The pipeline's steps after the model; those that are fitted on labelled rows are not for a
    model trained elsewhere.

    Raises:
        ConfigError: a step that does not fit what the model gives.
    """
    from batchinfer.transforms import StepProblem, fit_after, parse_after

    steps, _ = parse_after(loaded.pipeline.postprocess)
    if not steps:
        return None
    labels: list[str] = list(handler.params.get("labels", ()))
    if len(labels) == 2 and handler.params.get("positive") == 0:
        labels.reverse()  # the steps take the second of two classes for the positive one
    try:
        return fit_after(
            steps,
            {name: parse_ddl(type_) for name, type_ in handler.output.items()},
            labels,
            transforms,
        )
    except StepProblem as problem:
        raise ConfigError(
            [f"{loaded.file}: postprocess: {text}" for text in problem.problems]
        ) from problem
