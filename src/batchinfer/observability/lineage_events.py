"""A run as events of OpenLineage, in the classes of its Python client. Sends nothing itself.

Owns which facets a run, its job and its datasets have. A run's id is made of ours, so that whoever
knows ours can tell it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchinfer.observability.dataset_names import DatasetName
from batchinfer.observability.run_facts import ParentRun, RunBegan, RunEnded
from batchinfer.version import __version__

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run

PRODUCER = f"urn:batchinfer:{__version__}"
RUN_FACET_SCHEMA = "urn:batchinfer:facets:BatchinferRunFacet:1"
_ID_TIME = "%Y%m%dT%H%M%S"
_TOLD = (
    "model_name",
    "model_version",
    "bundle_digest",
    "rows_in",
    "rows_landed",
    "rows_scored",
    "rows_reused",
    "rows_quarantined",
    "rows_removed",
    "checks_passed",
    "warnings",
)


@dataclass(frozen=True)
class CheckedExpectation:
    """An expectation that was judged."""

    expectation: str
    column: str | None
    success: bool
    message: str


@dataclass(frozen=True)
class LineageDataset:
    """A dataset as a run read or wrote it.

    Attributes:
        kind: TABLE, FILE or MODEL.
        fields: columns with their Spark SQL types; empty where they are not known.
        version: of a Delta table, or of a model.
        is_delta: whether it is a Delta table.
        rows, size, files: what was read or written of it; size in bytes; None: not known.
        checks: expectations of what was read.
    """

    at: DatasetName
    kind: str
    fields: tuple[tuple[str, str], ...] = ()
    version: str | None = None
    is_delta: bool = False
    rows: int | None = None
    size: int | None = None
    files: int | None = None
    checks: tuple[CheckedExpectation, ...] = ()


def lineage_id(run_id: str) -> str:
    """The UUID of a run, version 7, made of its id alone: the same id gives the same UUID."""
    from openlineage.client.uuid import generate_static_uuid

    began = dt.datetime.strptime(run_id.partition("-")[0], _ID_TIME).replace(tzinfo=dt.UTC)
    return str(generate_static_uuid(began, run_id.encode()))


def start_event(
    began: RunBegan,
    namespace: str,
    inputs: Sequence[LineageDataset],
    outputs: Sequence[LineageDataset],
) -> bytes:
    """The START event of a run, as JSON."""
    return _event("START", began, None, began.began, namespace, inputs, outputs)


def end_event(
    began: RunBegan,
    ended: RunEnded,
    namespace: str,
    inputs: Sequence[LineageDataset],
    outputs: Sequence[LineageDataset],
) -> bytes:
    """The event that ends a run, as JSON: COMPLETE, FAIL, or ABORT of one that was told to stop."""
    kind = "ABORT" if ended.is_interrupted else "FAIL" if ended.exit_code else "COMPLETE"
    return _event(kind, began, ended, ended.ended, namespace, inputs, outputs)


def job_name(pipeline: str, command: str) -> str:
    """What a command of a pipeline is called as a job."""
    return f"{pipeline}.{command}"


def _event(
    kind: str,
    began: RunBegan,
    ended: RunEnded | None,
    at: dt.datetime,
    namespace: str,
    inputs: Sequence[LineageDataset],
    outputs: Sequence[LineageDataset],
) -> bytes:
    from openlineage.client.event_v2 import RunEvent, RunState
    from openlineage.client.serde import Serde

    event = RunEvent(
        eventTime=at.astimezone(dt.UTC).isoformat(),
        producer=PRODUCER,
        run=_run(began, ended, namespace),
        job=_job(began, namespace),
        eventType=RunState[kind],
        inputs=[_input(one) for one in inputs],
        outputs=[_output(one) for one in outputs],
    )
    return json.dumps(_produced(Serde.to_dict(event)), default=str).encode()


def _produced(value: Any) -> Any:
    """The event with this build as the producer of each facet. The client has a way to say it for
    the whole process, which may be that of a scheduler with events of its own.
    """
    if isinstance(value, list):
        return [_produced(one) for one in value]
    if not isinstance(value, dict):
        return value
    told = {name: _produced(one) for name, one in value.items()}
    return told | ({"_producer": PRODUCER} if "_producer" in told else {})


def _run(began: RunBegan, ended: RunEnded | None, namespace: str) -> Run:
    from openlineage.client.event_v2 import Run
    from openlineage.client.facet_v2 import (
        RunFacet,
        error_message_run,
        nominal_time_run,
        processing_engine_run,
    )

    facets: dict[str, RunFacet] = {
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=__version__, name="batchinfer"
        ),
        "batchinfer_run": _own_facet(began, ended),
    }
    if began.span is not None:
        end = began.span.end
        facets["nominalTime"] = nominal_time_run.NominalTimeRunFacet(
            nominalStartTime=began.span.start.isoformat(),
            nominalEndTime=None if end is None else end.isoformat(),
        )
    if began.parent is not None:
        facets["parent"] = _parent(began.parent, namespace)
    if ended is not None and ended.exit_code:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message="\n".join(ended.errors) or ended.status,
            programmingLanguage="PYTHON",
        )
    return Run(lineage_id(began.run_id), facets)


def _own_facet(began: RunBegan, ended: RunEnded | None) -> Any:
    import attr
    from openlineage.client.facet_v2 import RunFacet

    facts: dict[str, Any] = {
        "run_id": began.run_id,
        "pipeline": began.pipeline,
        "command": began.command,
        "slice": began.slice,
    }
    if ended is not None:
        facts |= {
            "status": ended.status,
            "exit_code": ended.exit_code,
            "seconds": round(ended.seconds, 3),
        }
        facts |= {name: ended.facts[name] for name in _TOLD if ended.facts.get(name) is not None}
    made = attr.make_class("BatchinferRunFacet", list(facts), bases=(RunFacet,))
    made._get_schema = staticmethod(lambda: RUN_FACET_SCHEMA)
    return made(**facts)


def _parent(parent: ParentRun, namespace: str) -> Any:
    from openlineage.client.facet_v2 import parent_run

    def job(one: ParentRun) -> str:
        return job_name(one.pipeline, one.command)

    return parent_run.ParentRunFacet(
        run=parent_run.Run(lineage_id(parent.run_id)),
        job=parent_run.Job(namespace, job(parent)),
        root=parent_run.Root(
            run=parent_run.RootRun(lineage_id(parent.root.run_id)),
            job=parent_run.RootJob(namespace, job(parent.root)),
        ),
    )


def _job(began: RunBegan, namespace: str) -> Job:
    from openlineage.client.event_v2 import Job
    from openlineage.client.facet_v2 import JobFacet, documentation_job, job_type_job

    facets: dict[str, JobFacet] = {
        "jobType": job_type_job.JobTypeJobFacet(
            processingType="BATCH", integration="BATCHINFER", jobType="COMMAND"
        )
    }
    if began.description:
        facets["documentation"] = documentation_job.DocumentationJobFacet(
            description=began.description
        )
    return Job(namespace, job_name(began.pipeline, began.command), facets)


def _input(one: LineageDataset) -> InputDataset:
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import (
        InputDatasetFacet,
        data_quality_assertions_dataset,
        input_statistics_input_dataset,
    )

    facets: dict[str, InputDatasetFacet] = {}
    if (one.rows, one.size, one.files) != (None, None, None):
        facets["inputStatistics"] = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
            rowCount=one.rows, size=one.size, fileCount=one.files
        )
    if one.checks:
        assertions = [
            data_quality_assertions_dataset.Assertion(
                assertion=check.expectation,
                success=check.success,
                column=check.column,
                description=check.message,
            )
            for check in one.checks
        ]
        facets["dataQualityAssertions"] = (
            data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(assertions=assertions)
        )
    return InputDataset(
        one.at.namespace, one.at.name, inputFacets=facets, facets=_dataset_facets(one)
    )


def _output(one: LineageDataset) -> OutputDataset:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import OutputDatasetFacet, output_statistics_output_dataset

    facets: dict[str, OutputDatasetFacet] = {}
    if (one.rows, one.size, one.files) != (None, None, None):
        facets["outputStatistics"] = (
            output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=one.rows, size=one.size, fileCount=one.files
            )
        )
    return OutputDataset(
        one.at.namespace, one.at.name, outputFacets=facets, facets=_dataset_facets(one)
    )


def _uri(at: DatasetName) -> str:
    return at.namespace if ":" in at.namespace else f"{at.namespace}://{at.name}"


def _dataset_facets(one: LineageDataset) -> dict[str, Any]:
    from openlineage.client.facet_v2 import (
        dataset_type_dataset,
        dataset_version_dataset,
        datasource_dataset,
        schema_dataset,
        storage_dataset,
    )

    facets: dict[str, Any] = {
        "dataSource": datasource_dataset.DatasourceDatasetFacet(
            name=one.at.namespace, uri=_uri(one.at)
        ),
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(datasetType=one.kind),
    }
    if one.fields:
        fields = [
            schema_dataset.SchemaDatasetFacetFields(name=name, type=type_, ordinal_position=place)
            for place, (name, type_) in enumerate(one.fields, start=1)
        ]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=fields)
    if one.version is not None:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=one.version
        )
    if one.is_delta:
        facets["storage"] = storage_dataset.StorageDatasetFacet(
            storageLayer="delta", fileFormat="parquet"
        )
    return facets
