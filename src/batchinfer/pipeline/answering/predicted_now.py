"""A row now, in this process: its features fetched by key, or given.

Runs on: driver, without Spark.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from batchinfer.errors import ConfigError, InputMissing
from batchinfer.hints import hint_fields
from batchinfer.lookups.key_values import parse_key
from batchinfer.pipeline.answering.feature_rows import feature_rows
from batchinfer.pipeline.answering.lone_keys import keys_refused
from batchinfer.pipeline.answering.row_scoring import ERROR, RowScorer
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.untold_values import hiding_keys, told_key


class PredictionAnswer(dict[str, Any]):
    """Predictions as JSON; `exit_code` is 3 where a key has not landed or a row fails."""

    exit_code = 0
    hint: str | None = None


def predict_keys(context: Context, texts: Sequence[str]) -> PredictionAnswer:
    """Predictions of keys by their newest landed rows: one key gives {found, prediction}, several
    {results: […]}.

    Raises:
        ConfigError: text that is no key; a pipeline whose features need other rows.
        InputMissing: nothing has landed.
        ModelError: the model cannot be loaded, or does not fit.
    """
    if refused := keys_refused(context.pipeline):
        raise ConfigError(
            f"{context.loaded.file}: {refused}; allowed: --row with the columns that they make"
        )
    columns = list(context.pipeline.source.key)
    with hiding_keys(context, texts):
        rows = feature_rows(context, [parse_key(text, columns) for text in texts])
    told = iter(RowScorer(context).score([row for row in rows if row is not None]))
    results = [
        {"found": row is not None, "prediction": None, **(next(told) if row is not None else {})}
        for row in rows
    ]
    return _answer([{"key": t, **r} for t, r in zip(texts, results, strict=True)], context)


def predict_rows(context: Context, text: str) -> PredictionAnswer:
    """Predictions of rows that are given as JSON: an object, or a list of them.

    Raises:
        ConfigError: text that is neither; rows that lack columns of the model.
        ModelError: the model cannot be loaded, or does not fit.
    """
    try:
        given = json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise ConfigError(f"--row: {error}; allowed: a JSON object such as {{…}}") from error
    rows = given if isinstance(given, list) else [given]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ConfigError("--row: allowed: a JSON object, or a list of them")
    scored = RowScorer(context).score_given(rows)
    results = [{"found": True, "prediction": None, **told} for told in scored]
    return _answer(results, context, is_list=isinstance(given, list))


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON; null says that a value is missing")


def _answer(
    results: list[dict[str, Any]], context: Context, is_list: bool = False
) -> PredictionAnswer:
    if len(results) == 1 and not is_list:
        body = PredictionAnswer(
            {name: value for name, value in results[0].items() if name != "key"}
        )
    else:
        body = PredictionAnswer({"results": results})
    problems = [
        f"{told_key(context, one['key'])} has not landed" for one in results if not one["found"]
    ]
    problems += [
        f"{told_key(context, one['key']) if 'key' in one else f'row {place}'}: {one[ERROR]}"
        for place, one in enumerate(results)
        if one.get(ERROR)
    ]
    if problems:
        body.exit_code = InputMissing.exit_code
        body |= {"status": "absent", "exit_code": body.exit_code, "errors": problems}
        if not all(one["found"] for one in results):
            body.hint = context.extract_command()
            body |= hint_fields(body.hint)
    return body
