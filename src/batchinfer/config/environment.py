"""The shape of an environment: where state lives and how Spark runs there (`conf/base` +
`conf/environments/<env>.yaml`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from batchinfer.config.fields import Place, Setting, Strict, TablePlace
from batchinfer.config.shapes.collector_settings import Observability


class ModelTask(Strict):
    """What a task that runs the model takes of an executor; tasks of other stages take one core.

    Attributes:
        cpus: cores.
        gpus: GPUs: 0, a whole number, or a share of up to a half: of 0.25, four tasks share one
            GPU, each with a model.
    """

    cpus: int = Field(default=1, ge=1)
    gpus: float = Field(default=0, ge=0)

    @field_validator("gpus")
    @classmethod
    def _is_share(cls, value: float) -> float:
        # Spark's own rule: of more than a half, one task would have the GPU anyway.
        if value > 0.5 and value != int(value):
            raise ValueError(
                f"got {value:g}; allowed: 0, a share of up to 0.5, or a whole number of GPUs"
            )
        return value


class SparkSettings(Strict):
    """How the session is built.

    Attributes:
        master: Spark master URL; None leaves it to SPARK_MASTER, or to spark-submit.
        ship: what executors on other machines are sent: `environment` (the package and the packages
            it needs), `package` (their Python has the packages), `nothing` (an image has both).
        conf: Spark settings by their own names; every value is passed as text.
        model_task: what tasks of the model take, where that is more than one core.
        small_runs: where little is worked on, and no session runs: in this process, on a master
            `local[…]` (`here`), or by a session all the same (`session`).
        java_options: flags of the driver's JVM.
    """

    master: str | None = None
    ship: Literal["environment", "package", "nothing"] = "package"
    conf: dict[str, Setting] = Field(default_factory=dict)
    model_task: ModelTask = Field(default_factory=ModelTask)
    small_runs: Literal["here", "session"] = "here"
    java_options: tuple[str, ...] = ()


class Environment(Strict):
    """Places (a path relative to the state folder, or a URI) and Spark settings.

    Attributes:
        lake: folder of the tables `landed/<pipeline>`, `quarantine/<pipeline>`,
            `predictions/<pipeline>`, `runs`.
        registry: MLflow tracking URI.
        artifacts: folder of the registry's artefacts.
        staging: folder that all workers see, for what is handed from one to the other and is no
            table.
        reports: folder of the run reports.
        spark: session settings.
        observability: whom runs tell of themselves; without it, nobody.
    """

    lake: TablePlace = "lake"
    registry: str = "sqlite:///mlflow.db"
    artifacts: Place = "mlartifacts"
    staging: Place = "staging"
    reports: TablePlace = "reports"
    spark: SparkSettings = Field(default_factory=SparkSettings)
    observability: Observability = Field(default_factory=Observability)
