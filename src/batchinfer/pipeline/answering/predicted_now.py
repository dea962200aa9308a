"""A row now, in this process: its features fetched by key, or given.

Runs on: driver, without Spark.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pyarrow import types as kinds

from batchinfer.errors import ConfigError, InputMissing
from batchinfer.hints import hint_fields
from batchinfer.lookups.key_values import convert_value, parse_key
from batchinfer.lookups.told_rows import json_value
from batchinfer.pipeline.answering.feature_rows import feature_rows
from batchinfer.pipeline.definition.context import Context

_ERROR = "error"


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
    if context.pipeline.prepare:
        raise ConfigError(
            f"{context.loaded.file}: prepare: its steps need other rows, so a key alone cannot be "
            "scored; allowed: --row with the columns that they make"
        )
    columns = list(context.pipeline.source.key)
    rows = feature_rows(context, [parse_key(text, columns) for text in texts])
    told = iter(_predict(context, [row for row in rows if row is not None]))
    results = [
        {"found": row is not None, "prediction": None, **(next(told) if row is not None else {})}
        for row in rows
    ]
    return _answer([{"key": t, **r} for t, r in zip(texts, results, strict=True)], context)


def predict_rows(context: Context, text: str) -> PredictionAnswer:
    """Predictions of rows that are given as JSON: an object, or a list of them.

    Raises:
        ConfigError: text that is neither.
        ModelError: the model cannot be loaded, or columns of its signature are missing.
    """
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"--row: {error}; allowed: a JSON object such as {{…}}") from error
    rows = given if isinstance(given, list) else [given]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ConfigError("--row: allowed: a JSON object, or a list of them")
    results = [{"found": True, "prediction": None, **told} for told in _predict(context, rows)]
    return _answer(results, context, is_list=isinstance(given, list))


def _answer(
    results: list[dict[str, Any]], context: Context, is_list: bool = False
) -> PredictionAnswer:
    if len(results) == 1 and not is_list:
        body = PredictionAnswer(
            {name: value for name, value in results[0].items() if name != "key"}
        )
    else:
        body = PredictionAnswer({"results": results})
    problems = [f"{one['key']} has not landed" for one in results if not one["found"]]
    problems += [
        f"{one.get('key', f'row {place}')}: {one[_ERROR]}"
        for place, one in enumerate(results)
        if one.get(_ERROR)
    ]
    if problems:
        body.exit_code = InputMissing.exit_code
        body |= {"status": "absent", "exit_code": body.exit_code, "errors": problems}
        body.hint = context.extract_command()
        body |= hint_fields(body.hint)
    return body


def _predict(context: Context, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """{prediction} or {error} of each row, by the bundle that `score` would use."""
    from batchinfer.inference.rows import input_types, predict_frame
    from batchinfer.models.bundle import read_bundle

    if not rows:
        return []
    model = context.pipeline.model
    ref = context.registry.resolve(model.uri)
    folder = context.registry.fetch(ref, context.bundle_cache)
    bundle = read_bundle(folder, expected_digest=ref.digest, trust=model.trust)
    types = input_types(bundle.signature)
    typed = [
        {
            name: _typed(name, value, types[name]) if name in types else value
            for name, value in row.items()
        }
        for row in rows
    ]
    told = predict_frame(bundle.handler, typed, bundle.signature)
    names = [name for name in told.columns if name != _ERROR]
    results: list[dict[str, Any]] = []
    for one in told.to_dict("records"):
        if one[_ERROR] is not None:
            results.append({_ERROR: one[_ERROR]})
            continue
        lineage = {"model_name": ref.name, "model_version": ref.version}
        results.append(
            {"prediction": {name: json_value(_plain(one[name])) for name in names} | lineage}
        )
    return results


def _typed(name: str, value: Any, type_: Any) -> Any:
    """Text as the day, the moment or the decimal that JSON has no words for."""
    if isinstance(value, str) and (
        kinds.is_date(type_) or kinds.is_timestamp(type_) or kinds.is_decimal(type_)
    ):
        return convert_value(name, value, type_)
    return value


def _plain(value: Any) -> Any:
    """A value of a pandas frame as Python has it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return value.item() if hasattr(value, "item") else value
