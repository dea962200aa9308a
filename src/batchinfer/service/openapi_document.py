"""The OpenAPI document of what is served: each pipeline with its key columns, and examples.

Routes are plain endpoints, so it is put together here. Must not know how they answer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from batchinfer.schedule import unit_name
from batchinfer.service.served_values import ServedPipeline, ServiceSettings
from batchinfer.version import __version__

_PROBLEMS = {
    "400": "parameters or a body that are not of the form",
    "401": "no key was sent, or one that nobody has",
    "403": "the key may not read this pipeline",
    "404": "no prediction of this key, or none at all; of :predict: no rows have landed",
    "405": "a method that the path does not have",
    "408": "the request did not come within the time that it may take",
    "413": "a longer body than is allowed",
    "414": "a longer address than is allowed",
    "415": "a body that is no JSON",
    "422": "values that are not of the key columns' types, more keys or rows than are allowed, or "
    "rows that lack columns",
    "424": "the pipeline has no model, or one that does not fit its rows",
    "503": "the store cannot be read now, a model is being loaded, or too many requests are being "
    "answered",
    "504": "a table or a model took longer than a request may take",
}
_OF_ONE = ("400", "401", "403", "404", "405", "414", "422", "503", "504")
_OF_BATCH = ("400", "401", "403", "404", "405", "408", "413", "414", "415", "422", "503", "504")
_OF_PREDICT = (*_OF_BATCH, "424")
_OF_OTHERS = ("401", "405", "503")


def describe(settings: ServiceSettings) -> dict[str, Any]:
    """The document.

    Returns:
        as OpenAPI 3.1 has it.
    """
    paths: dict[str, Any] = {}
    for served in settings.pipelines:
        paths[f"/v1/predictions/{served.name}"] = {"get": _one(served)}
        paths[f"/v1/predictions/{served.name}:batch"] = {
            "post": _batch(served, settings.bounds.keys)
        }
        paths[f"/v1/predictions/{served.name}:predict"] = {
            "post": _predict(served, settings.bounds.keys)
        }
    paths |= _others()
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "batchinfer",
            "version": __version__,
            "description": "Published predictions by key.",
        },
        "paths": paths,
        "components": {"schemas": _schemas()},
    }
    if settings.callers is not None:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return document


def _one(served: ServedPipeline) -> dict[str, Any]:
    parameters = [
        {
            "name": name,
            "in": "query",
            "required": True,
            "description": f"Key column {name}, as text.",
            "schema": {"type": "string"},
        }
        for name in served.key
    ]
    if "as_of" not in served.key:
        parameters.append(
            {
                "name": "as_of",
                "in": "query",
                "required": False,
                "description": "The newest prediction not after this slice, from the table.",
                "schema": _slice(served, "string"),
            }
        )
    beside = served.fallback.attributes - set(served.key) if served.fallback is not None else ()
    parameters += [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": f"What is known of the key, for fallbacks by {name}.",
            "schema": {"type": "string"},
        }
        for name in sorted(beside)
    ]
    found = {
        "found": True,
        "prediction": {**dict.fromkeys(served.key, "…"), "slice": "2026-11-21", "score": 0.73},
        "age_s": 3600,
    }
    return {
        "summary": f"The newest prediction of one key of {served.name}",
        "operationId": f"one_{served.name}",
        "tags": [served.name],
        "parameters": parameters,
        "responses": {
            "200": _answer(
                "The key has a prediction."
                if served.fallback is None
                else "The key has a prediction, or a fallback answers: for an old row beside it.",
                "Found" if served.fallback is None else "Answered",
                found,
            ),
            **_problems(_OF_ONE),
        },
    }


def _batch(served: ServedPipeline, most: int) -> dict[str, Any]:
    key = dict.fromkeys(served.key, "…")
    results = [
        {"found": True, "prediction": {**key, "score": 0.73}, "age_s": 3600},
        {"found": False, "prediction": None},
    ]
    body = {
        "type": "object",
        "required": ["keys"],
        "additionalProperties": False,
        "properties": {
            "keys": {
                "type": "array",
                "minItems": 1,
                "maxItems": most,
                "items": _key(
                    served, served.fallback.attributes if served.fallback else frozenset()
                ),
            },
            "as_of": _slice(served, ["string", "null"]),
        },
    }
    return {
        "summary": f"The newest predictions of several keys of {served.name}, of one generation",
        "operationId": f"batch_{served.name}",
        "tags": [served.name],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": body, "example": {"keys": [key]}}},
        },
        "responses": {
            "200": _answer(
                "For each key its prediction, or that there is none; in the order of the keys.",
                "Results",
                {"results": results, "generation": "20261121T021500-1f2e3d4c"},
            ),
            **_problems(_OF_BATCH),
        },
    }


def _predict(served: ServedPipeline, most: int) -> dict[str, Any]:
    example = dict.fromkeys(served.key, "…")

    def form(name: str, item: Mapping[str, Any]) -> dict[str, Any]:
        told = {"type": "array", "minItems": 1, "maxItems": most, "items": item}
        return {
            "type": "object",
            "required": [name],
            "additionalProperties": False,
            "properties": {name: told},
        }

    row = {"type": "object", "description": "All columns of the model's signature."}
    forms = [form("rows", row)]
    examples: dict[str, Any] = {"rows": {"value": {"rows": [{"column": 1.5}]}}}
    if not served.keys_refused:
        forms.insert(0, form("keys", _key(served)))
        examples = {"keys": {"value": {"keys": [example]}}, **examples}
    results = [
        {"found": True, "prediction": {"score": 0.73, "model_version": "3"}},
        {"found": False, "prediction": None},
        {"found": True, "prediction": None, "error": "encode_error: column …"},
    ]
    return {
        "summary": f"Predictions of {served.name} that are made now, of keys that have landed or "
        "of rows that are given",
        "operationId": f"predict_{served.name}",
        "tags": [served.name],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"oneOf": forms}, "examples": examples}},
        },
        "responses": {
            "200": _answer(
                "For each key or row its prediction, that it has not landed, or why it could not "
                "be scored; in their order.",
                "Predicted",
                {"results": results, "model_version": "3"},
            ),
            **_problems(_OF_PREDICT),
        },
    }


def _key(served: ServedPipeline, beside: frozenset[str] = frozenset()) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(served.key),
        "additionalProperties": False,
        "properties": {name: _value() for name in (*served.key, *sorted(beside))},
    }


def _slice(served: ServedPipeline, kind: str | list[str]) -> dict[str, Any]:
    if served.slice_unit is None:
        return {"type": kind, "minLength": 1}
    moment = dt.datetime(2026, 11, 21, 7)
    return {"type": kind, "minLength": 7, "examples": [unit_name(moment, served.slice_unit)]}


def _value() -> dict[str, Any]:
    return {"type": ["string", "number", "boolean"]}


def _others() -> dict[str, Any]:
    def get(
        summary: str, operation: str, media: str, problems: tuple[str, ...] = _OF_OTHERS
    ) -> dict[str, Any]:
        answer = {"description": summary, "content": {media: {}}}
        return {
            "get": {
                "summary": summary,
                "operationId": operation,
                "tags": ["service"],
                "responses": {"200": answer, **_problems(problems)},
            }
        }

    ready = get("Whether all pipelines can be answered.", "readyz", "application/json", ("405",))
    ready["get"]["responses"]["503"] = {
        "description": "One of the pipelines cannot be answered now.",
        "content": {"application/json": {}},
    }
    return {
        "/healthz": get("The process is alive.", "healthz", "application/json", ("405",)),
        "/readyz": ready,
        "/metrics": get("Figures for Prometheus.", "metrics", "text/plain"),
    }


def _answer(description: str, schema: str, example: Mapping[str, Any]) -> dict[str, Any]:
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}
    return {"description": description, "content": {"application/json": content}}


def _problems(statuses: tuple[str, ...]) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": f"{_PROBLEMS[status][0].upper()}{_PROBLEMS[status][1:]}.",
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in statuses
    }


def _schemas() -> dict[str, Any]:
    text, row = {"type": "string"}, {"type": "object", "description": "All columns of the row."}
    age = {
        "type": ["integer", "null"],
        "description": "Seconds since the publication that last confirmed the row.",
    }
    fallen = {
        "stale": {
            "type": "boolean",
            "description": "True of a row that is older than the pipeline's fallback.max_age.",
        },
        "fallback": {"type": "string", "description": "The level that answers."},
        "fallback_prediction": {
            "type": "object",
            "description": "What the level says, beside a row that is too old.",
        },
    }
    return {
        "Found": {
            "type": "object",
            "required": ["found", "prediction", "age_s"],
            "properties": {"found": {"const": True}, "prediction": row, "age_s": age},
        },
        "Answered": {
            "type": "object",
            "required": ["found", "prediction"],
            "properties": {
                "found": {"type": "boolean"},
                "prediction": row,
                "age_s": age,
                **fallen,
            },
        },
        "Results": {
            "type": "object",
            "required": ["results", "generation"],
            "properties": {
                "results": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["found", "prediction"],
                        "properties": {
                            "found": {"type": "boolean"},
                            "prediction": {"type": ["object", "null"]},
                            "age_s": age,
                            **fallen,
                        },
                    },
                },
                "generation": {
                    "type": ["string", "null"],
                    "description": "The one that all answers are of; null: of the table.",
                },
            },
        },
        "Predicted": {
            "type": "object",
            "required": ["results", "model_version"],
            "properties": {
                "results": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["found", "prediction"],
                        "properties": {
                            "found": {"type": "boolean"},
                            "prediction": {"type": ["object", "null"]},
                            "error": text,
                        },
                    },
                },
                "model_version": text,
            },
        },
        "Problem": {
            "type": "object",
            "description": "RFC 9457.",
            "required": ["type", "title", "status", "detail", "request_id"],
            "properties": {
                "type": text,
                "title": text,
                "status": {"type": "integer"},
                "detail": text,
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"name": text, "got": text, "allowed": text},
                    },
                },
                "hint": text,
                "request_id": text,
            },
        },
    }
