"""`models`: versions of a pipeline's model, and where its alias points."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from batchinfer import contracts
from batchinfer.errors import BatchInferError, ConfigError, StorageError
from batchinfer.models.registered import READING_TAG
from batchinfer.pipeline.definition.alias_moves import warn_of_words
from batchinfer.pipeline.definition.context import Context

# So many runs of `evaluate` are looked at; each is a file.
_EVALUATIONS = 20


def model_versions(
    context: Context, promote: str | None = None, rollback: bool = False
) -> dict[str, Any]:
    """Lists versions with metrics and aliases, after moving the alias where that is asked for;
    `history` has all its moves, `warnings` what a move means for those who read the predictions,
    `outdated` of a version what can be wrong in what it says, as a bundle of an earlier build, and
    `evaluated` what the newest `evaluate` found of its published predictions (None: none has).

    Runs on: driver, without Spark.

    Raises:
        ModelError: no such model or version; nothing to roll back to.
    """
    if promote is not None and rollback:
        raise ConfigError("models: got --promote and --rollback; allowed: one of them")
    if promote is not None and not re.fullmatch("[1-9][0-9]*", promote, re.ASCII):
        raise ConfigError(
            f"--promote: got {promote!r}; allowed: the number of a version, such as 3"
        )
    named = context.pipeline.model.named
    name, alias = named.name, named.alias or contracts.CHAMPION
    body: dict[str, Any] = {"pipeline": context.name, "status": "ok", "model": name, "alias": alias}
    warnings: list[str] = []
    if promote is not None or rollback:
        former = context.registry.holder(name, alias)
        ref = (
            context.registry.rollback(name, alias)
            if promote is None
            else context.registry.promote(name, promote, alias)
        )
        body |= {
            "status": "rolled back" if promote is None else "promoted",
            "version": ref.version,
        }
        warnings = warn_of_words(context, alias, former, ref)
    evaluated = _evaluated(context, name)
    return body | {
        "versions": [
            {
                **version,
                "outdated": _outdated(context, name, version),
                "evaluated": evaluated.get(str(version["version"])),
            }
            for version in context.registry.versions(name)
        ],
        "history": context.registry.moves(name, alias),
        "warnings": warnings,
    }


def _evaluated(context: Context, name: str) -> dict[str, dict[str, Any]]:
    """What the newest evaluation found of each version of a model, among the last few."""
    from batchinfer.lake.runs import newest_attempts

    try:
        runs = newest_attempts(context.runs, context.name, "evaluate", _EVALUATIONS)
    except StorageError:
        # Versions are told also where the lake is out of reach.
        return {}
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        report = run.report
        for one in report.get("models", ()):
            if one["model_name"] == name and one["metrics"]:
                told = {
                    "at": run.started_at,
                    "run_id": run.run_id,
                    "slices": report["slices"],
                    "outcomes": report["outcomes"],
                    "rows": one["rows_with_outcome"],
                    "metrics": one["metrics"],
                }
                found.setdefault(one["model_version"], told)
    return found


def _outdated(context: Context, name: str, version: Mapping[str, Any]) -> list[str]:
    """What `score` would warn of with this version; its bundle is only fetched where the tags leave
    that open.
    """
    from batchinfer.models.bundle import verify_bundle
    from batchinfer.models.outdated import OUTDATED_FORMATS, read_outdated

    tags = version["tags"]
    if READING_TAG in tags or tags.get("format") not in OUTDATED_FORMATS:
        return []
    alias = next(iter(version["aliases"]), "")
    try:
        ref = context.registry.resolve(f"models:/{name}/{version['version']}")
        folder = context.registry.fetch(ref, context.bundle_cache)
        return read_outdated(folder, verify_bundle(folder, ref.digest), context.asked, alias)
    except (BatchInferError, OSError):
        # The list is also for whoever looks for a version that is whole; what is wrong with this
        # one is told by the command that needs it.
        return []
