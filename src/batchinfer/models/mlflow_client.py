"""The MLflow client: loaded late, kept quiet, its errors put into this project's words.

Owns every setting of MLflow. Knows nothing of bundles and aliases: see `registry`.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import logging
import math
import os
import shutil
import sqlite3
import sys
import tempfile
import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.errors import BatchInferError, StorageError
from batchinfer.models.reachable import check_reachable, sqlite_path

if TYPE_CHECKING:
    from mlflow.tracking.client import MlflowClient

_SETTINGS = {
    # No reports to MLflow's makers.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # stdout belongs to the command's JSON line.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # As it comes, a dead server is asked for four minutes.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    # Git is not asked for the commit of the working folder.
    "GIT_PYTHON_REFRESH": "quiet",
}
_LOCK_TIMEOUT_S = 120.0
# Longest value of a parameter, and most metrics in one request.
_PARAM_LENGTH, _METRICS_AT_ONCE = 6000, 1000


def open_client(uri: str) -> MlflowClient:
    """A client of the registry, which answered; its database is made if there is none yet.

    Runs on: driver.

    Raises:
        StorageError: the registry does not answer, or its database cannot be made.
    """
    check_reachable(uri, makes=True)
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking.client import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Two processes may both find no database and make its tables.
    with storage_errors(f"the registry {uri}"), registry_lock(uri), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # MLflow's own use of SQLAlchemy, which nobody here can mend
        _begin_with_tables(uri)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def empty_registry() -> Path:
    """Where set-up puts a database with the tables of the installed MLflow, and nothing in them; it
    lives and dies with the environment.
    """
    import mlflow

    return Path(sys.prefix) / "share" / "batchinfer" / f"registry-{mlflow.__version__}.db"


def make_empty_registry() -> bool:
    """Makes that database where it is missing; whether it was.

    MLflow makes its tables by dozens of changes, one behind the other, each written to the disk:
    that takes seconds, and is the same for every new project.

    Raises:
        StorageError: it cannot be written.
    """
    wanted = empty_registry()
    if wanted.is_file():
        return False
    with storage_errors(f"an empty registry {wanted}"), tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "registry.db"
        open_client(f"sqlite:///{made}")
        with contextlib.closing(sqlite3.connect(made)) as connection:
            # MLflow makes it anew where there is none, with the place of its own registry.
            connection.execute("DELETE FROM experiments")
            connection.commit()
        wanted.parent.mkdir(parents=True, exist_ok=True)
        _copy_whole(made, wanted)
    return True


def _begin_with_tables(uri: str) -> None:
    """Lets a registry that is a new file begin as the empty one that set-up has made, if it has."""
    path, empty = sqlite_path(uri), empty_registry()
    if path is not None and not path.exists() and empty.is_file():
        _copy_whole(empty, path)


def _copy_whole(source: Path, target: Path) -> None:
    """Nobody ever sees half of the file."""
    half = target.with_name(f"{target.name}.{os.getpid()}.new")
    try:
        shutil.copyfile(source, half)
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)


def log_training(
    client: MlflowClient,
    run_id: str,
    metrics: Mapping[str, float],
    params: Mapping[str, Any],
    curve: Sequence[Mapping[str, float]],
) -> None:
    """Writes what training gave into a run.

    Args:
        curve: one mapping an epoch: its number under `epoch`, and losses.

    Runs on: driver.
    """
    from mlflow.entities import Metric, Param

    now = int(datetime.datetime.now(tz=datetime.timezone.utc).timestamp() * 1000)
    points = [Metric(key, value, now, 0) for key, value in metrics.items()]
    for epoch in curve:
        at = int(epoch["epoch"])
        points += [
            Metric(key, value, now, at)
            for key, value in epoch.items()
            if key != "epoch" and math.isfinite(value)
        ]
    client.log_batch(
        run_id, params=[Param(key, str(value)[:_PARAM_LENGTH]) for key, value in params.items()]
    )
    for first in range(0, len(points), _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=points[first : first + _METRICS_AT_ONCE])


@contextlib.contextmanager
def storage_errors(what: str) -> Generator[None]:
    """Turns whatever MLflow, its database or its transport raises into StorageError.

    Runs on: driver.
    """
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except BatchInferError:
        raise
    except (MlflowException, SQLAlchemyError, requests.RequestException, OSError) as error:
        raise StorageError(f"{what}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextlib.contextmanager
def registry_lock(uri: str) -> Generator[None]:
    """Holds a local registry alone, across processes; a server orders its writers by itself.

    Runs on: driver.

    Raises:
        StorageError: another process holds it for longer than two minutes.
    """
    path = sqlite_path(uri)
    if path is None:
        yield
        return
    with _flock(path.with_name(path.name + ".lock")):
        yield


@contextlib.contextmanager
def _flock(path: Path) -> Generator[None]:
    try:
        lock = path.open("w")
    except OSError as error:
        raise StorageError(f"the lock file {path} cannot be made: {error.strerror}") from error
    with lock:
        give_up = time.monotonic() + _LOCK_TIMEOUT_S
        while not _try_lock(lock):
            if time.monotonic() > give_up:
                raise StorageError(
                    f"another process has held {path} for more than {_LOCK_TIMEOUT_S:g} s"
                )
            time.sleep(0.05)
        yield


def _try_lock(lock: Any) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
