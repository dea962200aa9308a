"""Where bundles lie, and how one comes to this machine.

Owns places below the registry's artefact store, and downloads through MLflow. Knows neither names,
versions nor aliases: see `registry`.
"""

from __future__ import annotations

import tempfile
import urllib.parse
from pathlib import Path

from batchinfer.errors import ModelError
from batchinfer.models.bundle import verify_bundle
from batchinfer.models.mlflow_client import storage_errors


def bundles_of(model: str, artifacts: str) -> str | None:
    """The URI below which a model's bundles are kept; None: where the server puts them.

    Args:
        artifacts: the folder or URI of all bundles; empty: the server's own.
    """
    if not artifacts:
        return None
    local = _local_path(artifacts)
    if local is not None:
        return (local.absolute() / model).as_uri()
    return f"{artifacts.rstrip('/')}/{model}"


def local_bundle(source: str, artifacts: str) -> Path | None:
    """The folder of a bundle on this machine; where the whole state was moved, the same place below
    `artifacts`. None if the source is no local place.
    """
    path = _local_path(source)
    root = _local_path(artifacts) if artifacts else None
    if path is None or path.exists() or root is None:
        return path
    # name / run / artifacts / bundle; the digest tells whether it is the right one.
    moved = root.joinpath(*path.parts[-4:])
    return moved if moved.exists() else path


def download_bundle(tracking_uri: str, source: str, folder: Path, digest: str) -> None:
    """Fetches a bundle, which is verified before it lies in the folder.

    Runs on: driver.

    Raises:
        ModelError: it is not the bundle of that digest.
        StorageError: the store does not answer, or the folder cannot be written.
    """
    from mlflow.artifacts import download_artifacts

    with storage_errors(f"the bundle {source} cannot be fetched"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as staged:
            found = Path(
                download_artifacts(artifact_uri=source, dst_path=staged, tracking_uri=tracking_uri)
            )
            verify_bundle(found, digest)
            try:
                found.rename(folder)
            except OSError:
                # Another process was first; whatever lies there is verified by the caller.
                if not folder.exists():
                    raise


def download_model(tracking_uri: str, uri: str, folder: Path) -> Path:
    """Fetches an MLflow model below a folder; where it lies now. Nothing of it is loaded.

    Runs on: driver.

    Raises:
        ModelError: there is no such model or run.
        StorageError: the registry or its artefact store does not answer.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    with storage_errors(f"{uri} cannot be fetched"):
        try:
            found = download_artifacts(
                artifact_uri=uri,
                dst_path=str(folder),
                tracking_uri=tracking_uri,
                registry_uri=tracking_uri,
            )
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise ModelError(f"{uri}: no such model in {tracking_uri}: {error.message}") from error
    return Path(found)


def _local_path(uri: str) -> Path | None:
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme == "file":
        return Path(urllib.parse.unquote(parts.path))
    return Path(uri) if not parts.scheme else None
