"""`lookup`: predictions by key, without Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batchinfer.errors import ConfigError, InputMissing
from batchinfer.hints import Hint, hint_fields
from batchinfer.pipeline.answering.fallback_answers import add_fallbacks
from batchinfer.pipeline.damaged_files import remedies
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import check_slice
from batchinfer.pipeline.definition.untold_values import hiding_keys, told_key
from batchinfer.pipeline.slices.landed import read_slices


class LookupAnswer(dict[str, Any]):
    """Result of a lookup as JSON; `exit_code` is 3 if any key is absent, and `hint` then says a key
    that may have been meant.
    """

    exit_code = 0
    hint: str | None = None


def lookup_keys(
    context: Context, keys: Sequence[Mapping[str, Any]], as_of: str | None = None
) -> list[dict[str, Any] | None]:
    """The served prediction of each key, or None; of several slices the greatest (not after
    `as_of`).

    Runs on: driver, without Spark.

    Raises:
        InputError: the table is not there, or a key is not one of its keys.
    """
    from batchinfer.lake.delta import exists
    from batchinfer.lookups.tables import lookup_rows

    if as_of is not None:
        check_slice(context.pipeline.source.slice, as_of, "--as-of")
    if not exists(context.predictions):
        raise InputMissing(
            f"{context.predictions}: no predictions of pipeline {context.name} have been published",
            hint=_publishing(context),
        )
    with remedies(context), context.sensitive.hiding(keys):
        return lookup_rows(context.predictions, keys, as_of)


def _publishing(context: Context) -> str:
    """The command that publishes the newest slice; where none has landed, the one that lands."""
    newest = max(read_slices(context.landed), default=None)
    if newest is None:
        return context.extract_command()
    return context.asked.command("score", "--slice", newest)


def answer_lookup(
    context: Context,
    texts: Sequence[str],
    keys_file: Path | None,
    as_of: str | None,
    attributes: Mapping[str, str] | None = None,
) -> LookupAnswer:
    """One key gives {found, prediction}; several give {results: […]}, in the order asked.

    Args:
        attributes: what the question says beside the key: fallbacks answer then; None: they do not.
    """
    asked = [("", text) for text in texts]
    if keys_file is not None:
        try:
            asked += [
                (f"{keys_file}, line {number}: ", line)
                for number, line in enumerate(keys_file.read_text("utf-8").splitlines(), 1)
                if line.strip()
            ]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"--keys-file {keys_file}: {error}; allowed: a text file with one key a line"
            ) from error
    lines = [line for _, line in asked]
    if not lines:
        raise ConfigError(
            "lookup: got no key; allowed: --key 'column=value,…' (repeatable) or --keys-file FILE"
        )
    columns = list(context.pipeline.source.key)
    with hiding_keys(context, lines):
        keys = [_parsed(place, line, columns) for place, line in asked]
    found = lookup_keys(context, keys, as_of)
    results: list[dict[str, Any]] = [{"found": row is not None, "prediction": row} for row in found]
    if attributes is not None:
        add_fallbacks(context, keys, results, attributes)
    single = len(lines) == 1 and keys_file is None
    body = LookupAnswer(
        results[0]
        if single
        else {
            "results": [
                {"key": line, **result} for line, result in zip(lines, results, strict=True)
            ]
        }
    )
    unanswered = [one["prediction"] is None for one in results]
    if any(unanswered):
        body.exit_code = InputMissing.exit_code
        absent = [line for line, is_absent in zip(lines, unanswered, strict=True) if is_absent]
        body |= {
            "status": "absent",
            "exit_code": body.exit_code,
            "errors": [f"no prediction for {told_key(context, line)}" for line in absent],
        }
        body.hint = _hint(context, _parsed("", absent[0], columns), as_of)
        body |= hint_fields(body.hint)
    return body


def _parsed(place: str, line: str, columns: Sequence[str]) -> dict[str, str]:
    from batchinfer.lookups.key_values import parse_key

    try:
        return parse_key(line, columns)
    except ConfigError as error:
        raise ConfigError([place + told for told in error.problems], error.hint) from error


def _hint(context: Context, absent: Mapping[str, str], as_of: str | None) -> str | None:
    """A command that finds what is there: a key that may have been meant."""
    from batchinfer.lookups.key_values import format_key
    from batchinfer.lookups.near_keys import near_key

    if context.sensitive.among(context.pipeline.source.key):
        return None
    near = near_key(context.predictions, absent, as_of)
    if near is None:
        return None
    dated = ["--as-of", as_of] if as_of is not None else []
    command = context.asked.command("lookup", "--key", format_key(near), *dated)
    return Hint(command, " looks up a key that is near and has one")
