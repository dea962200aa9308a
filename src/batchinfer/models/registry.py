"""The registry: alias -> version -> verified bundle, over MLflow.

Owns names, versions, aliases and their history. What a version is stands in its tags: the digest of
its bundle and its metrics. Knows nothing of what is inside a bundle (see `bundle`), of where it
lies (see `bundle_store`) and of pipelines.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer import stopping
from batchinfer.config.suggestions import did_you_mean, listed
from batchinfer.contracts import ModelRef, NamedModel
from batchinfer.credentials import without_credentials
from batchinfer.errors import BatchInferError, ModelError
from batchinfer.hinted_commands import Asked
from batchinfer.hints import Hint
from batchinfer.models.bundle import verify_bundle
from batchinfer.models.bundle_store import bundles_of, download_bundle, download_model, local_bundle
from batchinfer.models.mlflow_client import log_training, open_client, registry_lock, storage_errors
from batchinfer.models.reachable import check_reachable, sqlite_path
from batchinfer.models.registered import (
    DIGEST_TAG,
    HISTORY_TAG,
    METRICS_TAG,
    MOVES_TAG,
    RegisteredModel,
    alias_move,
    metrics_tag,
    moves_tag,
    version_words,
)
from batchinfer.models.registry_reading import read_by_client, read_by_sqlite

if TYPE_CHECKING:
    from mlflow.tracking.client import MlflowClient

_HISTORY_LENGTH = 50
_BUNDLE = "bundle"
_TEXT_LENGTH = 5000
_CARD = "model_card.md"
_LONGEST_MIGRATION_S = 60.0


class Registry:
    """Models by name, version and alias.

    Attributes:
        tracking_uri: MLflow's URI, such as `sqlite:////var/lib/mlflow.db` or `http://host:5000`.
        artifacts: folder or URI below which bundles are kept; empty: where the server puts them.
        asked: how the pipeline was asked for that wants its models, for hints; None: by nobody.
    """

    def __init__(self, tracking_uri: str, artifacts: str, asked: Asked | None = None) -> None:
        self.tracking_uri = tracking_uri
        self.artifacts = artifacts
        self.asked = asked
        self._client: MlflowClient | None = None
        self._preparing: threading.Thread | None = None

    def prepare(self) -> None:
        """Starts to load MLflow and to make its database in the background, which takes seconds:
        call it early, and go on.

        What fails there is raised by the call that needs the client. Runs on: driver.
        """
        if self._client is None and self._preparing is None:
            self._preparing = threading.Thread(
                target=self._open_quietly, name="registry", daemon=True
            )
            self._preparing.start()
            # A database that is left half migrated is of no more use to anybody.
            atexit.register(self._preparing.join, _LONGEST_MIGRATION_S)

    def settle(self) -> None:
        """Waits for what `prepare` began: libraries that look for each other in `sys.modules` meet
        half of a module while another thread imports it. Runs on: driver.
        """
        if self._preparing is not None:
            self._preparing.join()

    def register(
        self,
        name: str,
        bundle_folder: Path | str,
        alias: str | None,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        curve: Sequence[Mapping[str, float]] = (),
        card: Path | None = None,
    ) -> ModelRef:
        """Makes the bundle the next version of the model, and gives it the alias if one is named.

        The bundle is verified first and logged as an artefact of a run in the experiment named
        after the model. `curve` has one mapping an epoch: its number under `epoch`, and losses that
        the run shows as curves. `card` is a folder with the model card, which the run shows, and
        the version as its description.
        Runs on: driver.

        Raises:
            ModelError: the bundle is not whole.
            StorageError: the registry or its artefact store fails.
        """
        digest = verify_bundle(bundle_folder)["digest"]
        finite = {
            key: float(value) for key, value in (metrics or {}).items() if math.isfinite(value)
        }
        client = self._open()
        with storage_errors(f"model {name} cannot be registered in {self.tracking_uri}"):
            run = client.create_run(
                self._experiment(client, name),
                run_name=f"{name} {digest[:12]}",
                tags=dict(tags or {}),
            )
            state = "FAILED"
            try:
                log_training(client, run.info.run_id, finite, params or {}, curve)
                client.log_artifacts(run.info.run_id, str(bundle_folder), _BUNDLE)
                if card is not None:
                    client.log_artifacts(run.info.run_id, str(card))
                self._ensure_model(client, name)
                version_tags = {
                    **(tags or {}),
                    DIGEST_TAG: digest,
                    METRICS_TAG: metrics_tag(finite),
                }
                source = f"{run.info.artifact_uri}/{_BUNDLE}"
                text = (
                    (card / _CARD).read_text(encoding="utf-8")[:_TEXT_LENGTH]
                    if card is not None
                    else None
                )
                stopping.check()
                made = client.create_model_version(
                    name, source, run.info.run_id, tags=version_tags, description=text
                )
                state = "FINISHED"
            finally:
                client.set_terminated(run.info.run_id, state)
        version = str(made.version)
        if alias:
            self.promote(name, version, alias)
        return ModelRef(name, version, digest, f"models:/{name}/{version}")

    def resolve(self, uri: str) -> ModelRef:
        """The version and digest that `models:/name@alias` or `models:/name/version` stands for
        now.

        Runs on: driver.

        Raises:
            ModelError: no such model, alias or version; what there is, is listed.
            StorageError: the registry does not answer.
        """
        named = _parse(uri)
        model = self._model(named.name)
        version = model.at(model.holder(named.alias) if named.alias else str(named.version))
        return ModelRef(named.name, version.version, model.digest_of(version), uri)

    def fetch(self, ref: ModelRef, cache: Path) -> Path:
        """A local folder with the bundle of a resolved model, verified on every call.

        A bundle in a local store stays where it is; any other is downloaded into `cache/<digest>`.
        Runs on: driver.

        Raises:
            ModelError: the bundle is missing, damaged, not the one that was registered, or its code
                changed.
            StorageError: the store does not answer, or the cache cannot be written.
        """
        source = self._model(ref.name).at(ref.version).source
        local = local_bundle(source, self.artifacts)
        if local is not None:
            verify_bundle(local, ref.digest, self.asked)
            return local
        folder = cache / ref.digest
        if not folder.exists():
            self._open()
            download_bundle(self.tracking_uri, source, folder, ref.digest)
        verify_bundle(folder, ref.digest, self.asked)
        return folder

    def download(self, uri: str, folder: Path) -> Path:
        """Fetches an MLflow model (`models:/…`, `runs:/…`, `mlflow-artifacts:/…`) below a folder;
        where it lies now.

        Nothing of it is loaded. Runs on: driver.

        Raises:
            ModelError: there is no such model or run.
            StorageError: the registry or its artefact store does not answer.
        """
        self._open()
        return download_model(self.tracking_uri, uri, folder)

    def holder(self, name: str, alias: str) -> str | None:
        """The version that has the alias; None if no version has it, or there is no such model.

        Runs on: driver.

        Raises:
            StorageError: the registry does not answer.
        """
        model = self._read(name).get(name)
        return model.aliases.get(alias) if model else None

    def moves(self, name: str, alias: str) -> list[dict[str, str]]:
        """How the alias moved, oldest first: at (ISO 8601, UTC), action, from, to, by.

        Runs on: driver.

        Raises:
            ModelError: no such model.
            StorageError: the registry does not answer.
        """
        return self._model(name).moves(alias)

    def versions(self, name: str) -> list[dict[str, Any]]:
        """The versions of a model in order: version, aliases, metrics, created (ISO 8601, UTC),
        digest, tags.

        Runs on: driver.

        Raises:
            ModelError: no such model.
            StorageError: the registry does not answer.
        """
        model = self._model(name)
        return [model.describe(version) for version in model.versions]

    def promote(self, name: str, version: str, alias: str) -> ModelRef:
        """Gives the alias to a version; the version that held it is kept, so that `rollback` can
        give it back.

        Runs on: driver.

        Raises:
            ModelError: no such model or version.
            StorageError: the registry fails.
        """
        client = self._open()
        with registry_lock(self.tracking_uri):
            model = self._model(name)
            wanted = model.at(version)
            digest = model.digest_of(wanted)
            holder = model.aliases.get(alias)
            if holder != wanted.version:
                # The history first: a crash between the two leaves an entry that equals the holder,
                # which rollback passes over.
                history = model.history(alias) + ([holder] if holder else [])
                self._move(client, model, alias, wanted.version, history, "promote")
        return ModelRef(name, wanted.version, digest, f"models:/{name}@{alias}")

    def rollback(self, name: str, alias: str) -> ModelRef:
        """Gives the alias back to the version that held it before; again goes one further back.

        Runs on: driver.

        Raises:
            ModelError: no such model or alias, or nothing held it before.
            StorageError: the registry fails.
        """
        client = self._open()
        with registry_lock(self.tracking_uri):
            model = self._model(name)
            holder = model.holder(alias)
            known = {version.version: version for version in model.versions}
            history = model.history(alias)
            while history and (history[-1] == holder or history[-1] not in known):
                history.pop()
            if not history:
                raise ModelError(
                    f"models:/{name}@{alias} has no former version to go back to: version {holder} "
                    "is its first",
                    Hint(
                        self.asked.command("models") if self.asked else "models",
                        " lists the versions; with --promote and the number of one it gives the "
                        f"alias to that: {', '.join(known)}",
                    ),
                )
            former = known[history.pop()]
            digest = model.digest_of(former)
            self._move(client, model, alias, former.version, history, "rollback")
        return ModelRef(name, former.version, digest, f"models:/{name}@{alias}")

    def _open_quietly(self) -> None:
        with contextlib.suppress(
            BatchInferError
        ):  # raised again, and shown, by whoever opens it next
            self._client = open_client(self.tracking_uri)

    def _open(self) -> MlflowClient:
        if self._preparing is not None:
            self._preparing.join()
        if self._client is None:
            self._client = open_client(self.tracking_uri)
        return self._client

    def _read(self, name: str | None = None) -> dict[str, RegisteredModel]:
        path = sqlite_path(self.tracking_uri)
        if path is not None:
            check_reachable(self.tracking_uri)
            found = read_by_sqlite(path)
            if found is not None:
                return found
        client = self._open()
        with storage_errors(f"the registry {self.tracking_uri} cannot be read"):
            return read_by_client(client, name)

    def _model(self, name: str) -> RegisteredModel:
        model = self._read(name).get(name)
        if model is not None and model.versions:
            return replace(model, asked=self.asked)
        known = [model.name for model in self._read().values() if model.versions]
        raise ModelError(
            f"no model {name!r} in the registry {without_credentials(self.tracking_uri)}"
            f"{did_you_mean(name, known)}; registered: {listed(known, none='none')}; "
            "another project's registry is asked by project=FOLDER in Python, or by "
            "BATCHINFER_HOME=FOLDER",
            version_words(self.asked),
        )

    def _experiment(self, client: MlflowClient, name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is None:
            return client.create_experiment(
                name, artifact_location=bundles_of(name, self.artifacts)
            )
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return found.experiment_id

    def _ensure_model(self, client: MlflowClient, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _move(
        self,
        client: MlflowClient,
        model: RegisteredModel,
        alias: str,
        version: str,
        history: list[str],
        action: str,
    ) -> None:
        stopping.check()
        moves = [*model.moves(alias), alias_move(action, model.aliases.get(alias), version)]
        with storage_errors(
            f"the alias {alias} of model {model.name} cannot be set in {self.tracking_uri}"
        ):
            client.set_registered_model_tag(
                model.name, HISTORY_TAG + alias, json.dumps(history[-_HISTORY_LENGTH:])
            )
            client.set_registered_model_alias(model.name, alias, version)
            # Last: what is told of a move has happened.
            client.set_registered_model_tag(model.name, MOVES_TAG + alias, moves_tag(moves))


def _parse(uri: str) -> NamedModel:
    named = NamedModel.of(uri) if isinstance(uri, str) else None
    if named is None:
        raise ModelError(
            f"got the model URI {uri!r}; allowed: models:/NAME@ALIAS or models:/NAME/VERSION"
        )
    return named
