"""`batchinfer.predict` and `batchinfer.predict_udf`: the bundle of a run, without the run."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.config.project import given_project
from batchinfer.contracts import RESOLVED_FOR_S, ModelRef
from batchinfer.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import SparkSession

    from batchinfer.models.bundle import LoadedBundle
    from batchinfer.models.formats.artifact import Trust

_loading = threading.Lock()


def predict(
    frame: pd.DataFrame | Sequence[Mapping[str, Any]],
    uri: str,
    env: str = "local",
    trust: Trust = "none",
    project: str | Path | None = None,
) -> pd.DataFrame:
    """Predictions for a few rows in this process: the code and the state that the batch job uses.

    Args:
        frame: the columns of the model's signature, in any order; others are ignored. Or rows as a
            list of mappings: a key that a row lacks is a missing value there, and one that no row
            has is a column that is missing.
        uri: such as `models:/income@champion`.
        trust: `pickle` allows a model that may run code of its own when it is loaded.
        project: the folder whose registry is asked, unless BATCHINFER_HOME names one; None: the
            working folder.

    Returns:
        The prediction columns and `error string` (null where a row went well), with the index of
        `frame`.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: a word for `trust` that there is not.
        ModelError: no such model, one that is not trusted, or columns that do not fit its
            signature.
        StorageError: the registry does not answer.

    Example:
        >>> import batchinfer
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"width": [0.25, 1.75], "length": [1.5, 5.5]})
        >>> batchinfer.predict(rows, "models:/flowers@champion")
           prediction error
        0        1.75  None
        1        7.25  None
        >>> batchinfer.predict([{"width": 0.25, "length": 1.5}], "models:/flowers@champion")
           prediction error
        0        1.75  None
    """
    from batchinfer.inference.rows import predict_frame

    _check_trust_word(trust)
    bundle = _bundle(uri, env, trust, given_project(project))
    return predict_frame(bundle.handler, frame, bundle.signature)


def predict_udf(
    spark: SparkSession,
    uri: str,
    env: str = "local",
    trust: Trust = "none",
    project: str | Path | None = None,
) -> Any:
    """An iterator pandas UDF that scores with a registered model; `spark.udf.register` makes it
    usable from SQL.

    Called with one struct, or with the columns of the signature in their order. Returns a struct of
    the prediction columns and `error string` (null where a row went well); one bad row never fails
    the query.

    Args:
        uri, trust, project: as `predict` has them.

    Runs on: executor, when Spark evaluates it.

    Raises:
        ConfigError: a word for `trust` that there is not.
        ModelError: no such model, or one that is not trusted.
        StorageError: the registry does not answer.

    Example:
        >>> import batchinfer
        >>> udf = batchinfer.predict_udf(spark, "models:/churn@champion")
        >>> rows = spark.createDataFrame(
        ...     [("plus", 3, 12.5)], "plan string, months int, spend double"
        ... )
        >>> [row] = rows.select(udf("plan", "months", "spend").alias("found")).collect()
        >>> row.found.label, row.found.error
        ('yes', None)
    """
    from batchinfer.config.environment import ModelTask
    from batchinfer.inference.spark import scoring_udf as build
    from batchinfer.models.bundle import read_signature, verify_bundle
    from batchinfer.models.manifest import check_trust
    from batchinfer.pipeline.scoring.devices import load_shipped
    from batchinfer.spark.capacity import task_threads
    from batchinfer.spark.sending import ship_folder, ship_package

    _check_trust_word(trust)
    ref, folder = _resolve(uri, env, given_project(project))
    manifest = verify_bundle(folder, ref.digest)
    check_trust(manifest, trust)
    _warn_of_outdated(folder, manifest, stacklevel=3)
    ship_package(spark, folder.parent / "shipped")
    archive = ship_folder(spark, folder, ref.digest)
    threads = task_threads(spark, ModelTask())
    loader = partial(load_shipped, archive, ref.digest, "auto", trust)
    return build(loader, read_signature(folder), ref.digest, threads=threads)


def _check_trust_word(trust: str) -> None:
    if trust not in ("none", "pickle"):
        raise ConfigError(f"trust: got {trust!r}; allowed: none, pickle")


def _resolve(uri: str, env: str, project: Path | None) -> tuple[ModelRef, Path]:
    from batchinfer.config.loader import load_state
    from batchinfer.models.registry import Registry

    environment, home = load_state(env, project)
    registry = Registry(environment.registry, environment.artifacts)
    ref = registry.resolve(uri)
    return ref, registry.fetch(ref, home / "bundles")


def _bundle(uri: str, env: str, trust: Trust, project: Path | None) -> LoadedBundle:
    """The bundle behind a URI; an alias is resolved again every minute, so that a promotion reaches
    an open notebook.
    """
    with _loading:
        # The project and its state folder follow the working folder and the variable.
        place = os.getcwd(), os.environ.get("BATCHINFER_HOME")
        period = int(time.monotonic() // RESOLVED_FOR_S)
        ref, folder = _resolved(uri, env, project, place, period)
        return _loaded(folder, ref.digest, trust)


@lru_cache(maxsize=8)
def _resolved(
    uri: str, env: str, project: Path | None, _place: tuple[str, str | None], _period: int
) -> tuple[ModelRef, Path]:
    return _resolve(uri, env, project)


@lru_cache(maxsize=8)
def _loaded(folder: Path, digest: str, trust: Trust) -> LoadedBundle:
    """An alias that still means the same version costs no second loading, and no second warning."""
    from batchinfer.models.bundle import read_bundle

    bundle = read_bundle(folder, expected_digest=digest, trust=trust)
    _warn_of_outdated(folder, bundle.manifest, stacklevel=5)
    return bundle


def _warn_of_outdated(folder: Path, manifest: Mapping[str, Any], stacklevel: int) -> None:
    """Warns the caller of a bundle of an earlier build of what can be wrong in what it says.

    Args:
        stacklevel: of `warnings.warn`, so that it names the caller's line.
    """
    from batchinfer.models.outdated import read_outdated

    for sentence in read_outdated(folder, manifest, alias=""):
        warnings.warn(sentence, UserWarning, stacklevel)
