"""The stores that a pipeline's rows go into: those that its file names, or one that needs no
server.
"""

from __future__ import annotations

from batchinfer.config.shapes.online_stores import EmbeddedTarget, Target
from batchinfer.errors import ConfigError
from batchinfer.lookups.stores.online_store import OnlineStore
from batchinfer.lookups.stores.store_catalogue import StoredTable, open_store
from batchinfer.pipeline.definition.context import Context

# The least that names a store in a pipeline file; the variables hold addresses.
_WRITTEN = {
    "redis": "load: [{kind: redis, url_env: REDIS_URL}]",
    "dynamodb": "load: [{kind: dynamodb, table: predictions}]",
    "postgres": "load: [{kind: postgres, url_env: POSTGRES_URL}]",
}


def targets_of(context: Context) -> tuple[Target, ...]:
    """The stores that the pipeline names, else the embedded one."""
    return context.pipeline.load or (EmbeddedTarget(kind="embedded"),)


def chosen_targets(context: Context, kind: str | None) -> tuple[Target, ...]:
    """Those of a kind; None: all.

    Raises:
        ConfigError: the pipeline names none of this kind.
    """
    targets = targets_of(context)
    if kind is None:
        return targets
    found = tuple(target for target in targets if target.kind == kind)
    if found:
        return found
    if kind == "embedded":
        return (EmbeddedTarget(kind="embedded"),)
    named = ", ".join(dict.fromkeys([*(target.kind for target in targets), "embedded"]))
    raise ConfigError(
        f"--to: got {kind}, which pipeline {context.name} does not name under load; allowed: "
        f"{named}",
        f"{_WRITTEN[kind]} in {context.loaded.file} names it; docs/pipeline-file.md has all of "
        "its fields",
    )


def store_of(context: Context, target: Target, part: str = "") -> OnlineStore:
    """A store of the pipeline's rows.

    Args:
        part: `fallbacks` for those; empty: predictions.

    Raises:
        ConfigError: a variable that holds its address is not set, or its driver is not installed.
    """
    name = f"{context.name}.{part}" if part else context.name
    return open_store(target, StoredTable(name, context.loaded.home))
