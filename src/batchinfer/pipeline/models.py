"""`models`: versions of a pipeline's model, and where its alias points."""

from __future__ import annotations

import re
from typing import Any

from batchinfer import contracts
from batchinfer.errors import ConfigError
from batchinfer.pipeline.definition.alias_moves import warn_of_words
from batchinfer.pipeline.definition.context import Context


def model_versions(
    context: Context, promote: str | None = None, rollback: bool = False
) -> dict[str, Any]:
    """Lists versions with metrics and aliases, after moving the alias where that is asked for;
    `history` has all its moves, `warnings` what a move means for those who read the predictions.

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
    asked = context.pipeline.model.uri.removeprefix("models:/")
    name, _, alias = asked.partition("@")
    name, alias = name.partition("/")[0], alias or contracts.CHAMPION
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
    return body | {
        "versions": context.registry.versions(name),
        "history": context.registry.moves(name, alias),
        "warnings": warnings,
    }
