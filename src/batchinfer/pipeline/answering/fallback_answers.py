"""Fallbacks in the answers of a lookup.

Runs on: driver, without Spark.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from batchinfer.contracts import SLICE
from batchinfer.errors import ConfigError, InputMissing
from batchinfer.hints import Hint
from batchinfer.lookups.confirmed import confirmed_seconds, confirmed_times
from batchinfer.lookups.fallback_chain import (
    ATTRIBUTE,
    BY,
    LEVEL,
    FallbackChain,
    is_attribute,
)
from batchinfer.lookups.key_values import convert_key
from batchinfer.lookups.keyed_snapshots import open_snapshot
from batchinfer.lookups.stores.stored_rows import stored_key
from batchinfer.lookups.tables import lookup_rows
from batchinfer.pipeline.definition.context import Context


def add_fallbacks(
    context: Context,
    keys: Sequence[Mapping[str, str]],
    results: Sequence[dict[str, Any]],
    attributes: Mapping[str, str],
) -> None:
    """Adds what fallbacks say to the answers {found, prediction} of keys that have no prediction,
    or an old one.

    An absent key gets `fallback`, the level's name, and its row as `prediction`; a row that is too
    old stays, with `stale`, and the level's row is `fallback_prediction`.

    Args:
        attributes: what the question says beside the keys.

    Raises:
        ConfigError: the pipeline has no fallbacks, no level has one of the attributes, or one is no
            text.
        InputMissing: none have been computed.
        StorageError: their table cannot be read.
    """
    from batchinfer.lake.snapshots import exists, table_version

    fallback = context.pipeline.fallback
    if fallback is None:
        raise ConfigError(
            f"{context.loaded.file}: has no fallback, and --fallback asks for one",
            "docs/online-stores.md says how levels are written",
        )
    chain = FallbackChain.of(fallback)
    if unknown := sorted(set(attributes) - chain.attributes):
        raise ConfigError(
            f"--attribute: no level of the fallback is by {unknown[0]!r}; allowed: "
            f"{', '.join(sorted(chain.attributes)) or 'none, as no level has by'}"
        )
    if unfit := [name for name, value in attributes.items() if not is_attribute(value)]:
        raise ConfigError(
            f"--attribute: {unfit[0]}: got {attributes[unfit[0]]!r}, no UTF-8; allowed: {ATTRIBUTE}"
        )
    if not exists(context.fallbacks):
        raise InputMissing(
            f"{context.fallbacks}: no fallbacks of pipeline {context.name} have been computed",
            Hint(context.asked.command("score"), " computes them where it publishes"),
        )
    types = open_snapshot(context.predictions).key_types()
    confirmed: Mapping[str, float] = {}
    if chain.max_age_s is not None:
        version = table_version(context.predictions)
        confirmed = confirmed_seconds(confirmed_times(context.predictions, version))
    now = time.time()
    # One read answers for all keys.
    asked: list[dict[str, str]] = []
    unanswered: list[tuple[dict[str, Any], bool, dict[str, Any], slice]] = []
    for key, result in zip(keys, results, strict=True):
        row = result["prediction"]
        stale = row is not None and chain.is_stale(confirmed.get(row[SLICE] or ""), now)
        if row is not None and not stale:
            continue
        known = {**({} if row is None else row), **attributes}
        start = len(asked)
        questions = chain.questions(stored_key(convert_key(key, types)), known)
        asked += [{LEVEL: level, BY: by} for level, by in questions]
        unanswered.append((result, stale, known, slice(start, len(asked))))
    rows = lookup_rows(context.fallbacks, asked) if asked else []
    for result, stale, known, its_own in unanswered:
        answer = chain.choose(rows[its_own], known)
        if stale:
            result["stale"] = True
        if answer is not None:
            result["fallback"] = answer.level
            result["fallback_prediction" if stale else "prediction"] = json.loads(answer.row)
