"""What has to be right before a slice is scored: slice, model, signature, road. `plan` shows it,
`score` runs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE, ModelRef
from batchinfer.errors import InputMissing, ModelError
from batchinfer.machine import cores
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import check_slice, read_slices
from batchinfer.pipeline.definition.table_steps import differences
from batchinfer.pipeline.slices.landed import SliceData, read_data

if TYPE_CHECKING:
    from batchinfer.checks.suites import Suite
    from batchinfer.config.pipeline import Pipeline
    from batchinfer.inference.road_choice import Road
    from batchinfer.transforms import PostProcess, TransformPipeline


@dataclass(frozen=True)
class Resolved:
    """A model version whose bundle is here and verified."""

    ref: ModelRef
    folder: Path
    manifest: dict[str, Any]
    signature: dict[str, Any]

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(column["name"] for column in self.signature["inputs"])

    @property
    def outputs(self) -> dict[str, str]:
        return {column["name"]: column["type"] for column in self.signature["outputs"]}


def find_slice(context: Context, slice_: str) -> SliceData:
    """The landed slice as it is now.

    Raises:
        InputMissing: nothing has landed for it (exit 3); says which slices there are.
    """
    rule = context.pipeline.source.slice
    check_slice(rule, slice_)
    landed = read_slices(context.landed)
    if slice_ not in landed:
        some = ", ".join(sorted(landed)[-5:]) or "none"
        raise InputMissing(
            f"slice {slice_} of pipeline {context.name} has never landed in {context.landed}; "
            f"landed: {some}",
            hint=f"batchinfer extract -p {context.name}"
            + (f" --slice {slice_}" if rule == "ingest_date" else ""),
        )
    return read_data(context, [slice_])


def resolve_model(context: Context) -> Resolved:
    """Resolves the pipeline's model once, fetches its bundle, verifies it, and holds its signature
    against the columns.

    Raises:
        ModelError: missing, corrupt, untrusted, code changed, or a signature that does not fit
            (exit 7).
        StorageError: the registry cannot be reached (exit 8).
    """
    from batchinfer.models.bundle import check_signature, read_signature, read_steps, verify_bundle
    from batchinfer.models.manifest import check_compile, check_precision, check_trust

    ref = context.registry.resolve(context.pipeline.model.uri)
    folder = context.registry.fetch(ref, context.bundle_cache)
    manifest = verify_bundle(folder, ref.digest)
    check_trust(manifest, context.pipeline.model.trust)
    check_precision(manifest, context.pipeline.model.precision)
    check_compile(manifest, context.pipeline.model.compile)
    signature = read_signature(folder)
    problems = check_signature(signature, context.prepared_fields)
    # Equal names do not make equal columns: a window or a limit that changed since is another
    # input.
    problems = problems or differences(
        manifest.get("facts", {}).get("prepare", []), context.preparation.steps
    )
    problems = problems or _check_steps(context.pipeline, *read_steps(folder))
    if problems:
        raise ModelError(
            [
                f"{ref.uri} (version {ref.version}) does not fit pipeline {context.name}: {problem}"
                for problem in problems
            ],
            hint=f"batchinfer train -p {context.name} makes a version of what the pipeline file "
            "says",
        )
    return Resolved(ref, folder, manifest, signature)


def _check_steps(
    pipeline: Pipeline, transforms: TransformPipeline | None, after: PostProcess | None
) -> list[str]:
    """Where the steps of the pipeline file are not those that the bundle was made with.

    A pipeline without any scores with whatever the bundle brings along.
    """
    from batchinfer.transforms import dump_steps, parse_after, parse_steps

    if not pipeline.features and not pipeline.postprocess:
        return []
    sections = {
        "features": (
            dump_steps(parse_steps(pipeline.features)[0]),
            dump_steps(transforms.steps if transforms else []),
        ),
        "postprocess": (
            dump_steps(parse_after(pipeline.postprocess)[0]),
            dump_steps(after.steps if after else []),
        ),
    }
    problems: list[str] = []
    for section, (ours, theirs) in sections.items():
        for place, (one, other) in enumerate(zip_longest(ours, theirs)):
            if one != other:
                problems.append(
                    f"{section}, step {place + 1}: got {_told(one)} in the pipeline file; the "
                    f"bundle has {_told(other)}"
                )
    return problems


def _told(step: Mapping[str, Any] | None) -> str:
    return "no such step" if step is None else json.dumps(step, ensure_ascii=False)


def choose_road(context: Context, data: SliceData) -> Road:
    """Which way the rows take to the workers, and why."""
    from batchinfer.inference import road_choice
    from batchinfer.lake.snapshots import reading_facts

    facts = reading_facts(data.table, data.version)
    table = road_choice.TableFacts(
        "delta",
        facts["reachable"],
        facts["deletion_vectors"],
        facts["column_mapping"],
        context.preparation.names,
    )
    return road_choice.choose_road(context.pipeline.model.road, table)


def load_suites(context: Context) -> dict[str, Suite]:
    """The pipeline's expectation suites, by what they judge (`input`, `predictions`).

    Raises:
        ConfigError: unknown expectations, or columns that the judged rows do not have.
    """
    from batchinfer.checks.suites import load_suite

    checks = context.pipeline.checks
    named = {"input": checks.input, "predictions": checks.predictions}
    return {kind: load_suite(context.root / path) for kind, path in named.items() if path}


def check_columns(context: Context, suites: Mapping[str, Suite], model: Resolved) -> None:
    """Holds the suites against the columns that the judged rows will have.

    Raises:
        ConfigError: expectations on columns that are not there.
    """
    from batchinfer.checks.suites import check_suite
    from batchinfer.contracts import LINEAGE, SLICE
    from batchinfer.errors import ConfigError

    columns = {
        "input": [*context.landed_fields, SLICE],
        "predictions": [*context.key_fields, SLICE, *model.outputs, *LINEAGE],
    }
    problems = [
        problem for kind, suite in suites.items() for problem in check_suite(suite, columns[kind])
    ]
    if problems:
        raise ConfigError(problems)


def columns_to_read(context: Context, inputs: Sequence[str]) -> tuple[str, ...]:
    """Key, signature and the record's place, in the order of the table: nothing else crosses to the
    worker.
    """
    wanted = {*context.pipeline.source.key, *inputs, SOURCE_FILE, SOURCE_LINE}
    return tuple(name for name in context.prepared_fields if name in wanted)


def master_of(context: Context) -> str:
    """The Spark master as far as it is known here: empty where spark-submit will say it."""
    settings = context.environment.spark
    return str(settings.conf.get("spark.master", settings.master or ""))


def local_workers(context: Context) -> int:
    """Python workers of a master on this machine, `local[N]`; of another one it is not known here
    how many there will be.
    """
    found = re.match(r"local\[(\d+)", master_of(context))
    return int(found[1]) if found else cores()


def worker_threads(context: Context) -> int:
    """Threads of a forward pass in each of these workers."""
    from batchinfer.inference.workers import threads_per_worker

    return threads_per_worker(cores(), local_workers(context))
