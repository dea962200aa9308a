"""The shape of an environment: where state lives and how Spark runs there (`conf/base` + `conf/environments/<env>.yaml`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from batchinfer.config.fields import Place, Setting, Strict


class SparkSettings(Strict):
    """How the session is built.

    Attributes:
        master: Spark master URL; None leaves it to SPARK_MASTER, or to spark-submit.
        ship: what executors on other machines are sent: `environment` (the package and the packages it needs), `package`
            (their Python has the packages), `nothing` (an image has both).
        conf: Spark settings by their own names; every value is passed as text.
        java_options: flags of the driver's JVM.
    """

    master: str | None = None
    ship: Literal["environment", "package", "nothing"] = "package"
    conf: dict[str, Setting] = Field(default_factory=dict)
    java_options: tuple[str, ...] = ()


class Environment(Strict):
    """Places (a path relative to the state folder, or a URI) and Spark settings.

    Attributes:
        lake: folder of the tables `landed/<pipeline>`, `quarantine/<pipeline>`, `predictions/<pipeline>`, `runs`.
        registry: MLflow tracking URI.
        artifacts: folder of the registry's artefacts.
        staging: folder that all workers see, for what is handed from one to the other and is no table.
        reports: folder of the run reports.
        spark: session settings.
    """

    lake: Place = "lake"
    registry: str = "sqlite:///mlflow.db"
    artifacts: Place = "mlartifacts"
    staging: Place = "staging"
    reports: Place = "reports"
    spark: SparkSettings = Field(default_factory=SparkSettings)
