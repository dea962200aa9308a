"""`ls`: the pipelines of a project, and how each one stands. No JVM."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from batchinfer.config.loader import load_environment
from batchinfer.config.project import find_project, pipeline_files, relative
from batchinfer.errors import BatchInferError
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.status import pipeline_status


@dataclass(frozen=True)
class PipelineRow:
    """One pipeline file.

    Attributes:
        newest_slice: the greatest that has landed or is published, and `status` its state; None:
            there is none, or the file has a problem.
        problem: what is wrong with the file, or why its tables cannot be read.
    """

    name: str
    file: str
    newest_slice: str | None = None
    status: str | None = None
    schedule: str | None = None
    problem: str | None = None


@dataclass
class PipelineList:
    """All pipeline files of a project, by the names of the files."""

    pipelines: list[PipelineRow] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def list_pipelines(env: str = "local") -> PipelineList:
    """The pipelines of the project that the working folder is in. One whose file is wrong is a row
    with its problem.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: no such environment.
    """
    project = find_project(Path.cwd())
    load_environment(env, project)
    return PipelineList([_row(file, env) for file in pipeline_files(project)])


def _row(file: Path, env: str) -> PipelineRow:
    shown = relative(file)
    try:
        context = Context.open(str(file), env)
    except BatchInferError as error:
        return PipelineRow(file.stem, shown, problem="; ".join(error.problems))
    name, schedule = context.name, context.pipeline.schedule
    try:
        slices = pipeline_status(context)["slices"]
    except BatchInferError as error:
        return PipelineRow(name, shown, schedule=schedule, problem="; ".join(error.problems))
    if not slices:
        return PipelineRow(name, shown, schedule=schedule)
    newest = slices[-1]
    return PipelineRow(name, shown, newest["slice"], newest["status"], schedule)
