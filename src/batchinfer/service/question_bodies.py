"""The body of a `:batch` or a `:predict`: JSON that is read within its bounds, and believed only
where it has the one form.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from starlette.requests import Request

from batchinfer.service.problem_documents import HttpProblem, shortened, wrong_entry
from batchinfer.service.served_values import Bounds

_FORM = '{"keys": [{…}, …]}'
_PREDICT_FORM = f'{_FORM} or {{"rows": [{{…}}, …]}}'
# What is sent beyond the bound is read and thrown away up to here, so that the answer arrives.
_DRAINED = 16


async def read_questions(
    request: Request, bounds: Bounds
) -> tuple[list[Mapping[str, Any]], str | None]:
    """The keys of a request, and `as_of`.

    Raises:
        HttpProblem: 400, 408, 413, 415, 422: a body that is not of the form, too slow, too long, or
            with too many keys.
    """
    return _questions(await _json_body(request, bounds, _FORM), bounds.keys)


async def read_predicted(request: Request, bounds: Bounds) -> tuple[str, list[Mapping[str, Any]]]:
    """What a `:predict` asks for: "keys" or "rows", and they.

    Raises:
        HttpProblem: as `read_questions` does.
    """
    parsed = await _json_body(request, bounds, _PREDICT_FORM)
    if not isinstance(parsed, dict):
        raise _wrong("body", parsed, f"an object: {_PREDICT_FORM}")
    for name in parsed:
        if name not in ("keys", "rows"):
            raise _wrong(name, parsed[name], "keys, rows")
    if len(parsed) != 1:
        raise _wrong("body", sorted(parsed), f"one of keys and rows: {_PREDICT_FORM}")
    [(name, asked)] = parsed.items()
    return name, _objects(name, asked, bounds.keys, _PREDICT_FORM)


async def _json_body(request: Request, bounds: Bounds, form: str) -> Any:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if kind.lower() != "application/json":
        raise HttpProblem(
            415, "no-json", f"content type {shortened(kind)}; allowed: application/json"
        )
    try:
        body = await asyncio.wait_for(_read(request, bounds.body_bytes), bounds.seconds)
    except asyncio.TimeoutError:
        raise HttpProblem(
            408, "too-slow", f"the body did not come within {bounds.seconds:g} s", headers=_CLOSE
        ) from None
    return _parse(body, form)


_CLOSE = {"Connection": "close"}


async def _read(request: Request, most: int) -> bytes:
    parts: list[bytes] = []
    length = 0
    async for part in request.stream():
        length += len(part)
        if length <= most:
            parts.append(part)
        elif length > most * _DRAINED:
            break
    if length > most:
        raise HttpProblem(
            413,
            "body-too-long",
            f"the body has more bytes than are allowed: {most:,}",
            headers=_CLOSE,
        )
    return b"".join(parts)


def _parse(body: bytes, form: str) -> Any:
    try:
        return json.loads(
            body.decode(), parse_constant=_no_number, object_pairs_hook=_without_doubles
        )
    except UnicodeDecodeError:
        raise _no_json("the body is no text in UTF-8", form) from None
    except RecursionError:
        raise _no_json("the body is nested too deeply", form) from None
    except ValueError as error:
        raise _no_json(f"the body is no JSON: {error}", form) from None


def _no_json(detail: str, form: str) -> HttpProblem:
    return HttpProblem(400, "no-json", f"{detail}; allowed: {form}")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Which of the two is meant, nobody knows.
        raise ValueError("a name stands twice in one object")
    return found


def _questions(parsed: Any, most: int) -> tuple[list[Mapping[str, Any]], str | None]:
    if not isinstance(parsed, dict):
        raise _wrong("body", parsed, f"an object: {_FORM}")
    for name in parsed:
        if name not in ("keys", "as_of"):
            raise _wrong(name, parsed[name], "keys, as_of")
    keys = _objects("keys", parsed.get("keys"), most, _FORM)
    as_of = parsed.get("as_of")
    if as_of is not None and not isinstance(as_of, str):
        raise _wrong("as_of", as_of, "a slice, as text")
    return keys, as_of


def _objects(name: str, given: Any, most: int, form: str) -> list[Mapping[str, Any]]:
    """Keys or rows: a list of objects, neither empty nor too long."""
    if not isinstance(given, list) or not given:
        raise _wrong(name, given, f"a list of {name}, one at least: {form}")
    if len(given) > most:
        count = f"{len(given):,} {name}"
        raise HttpProblem(
            422,
            f"too-many-{name}",
            f"{count}; allowed: {most:,} a request",
            [{"name": name, "got": count, "allowed": f"{most:,} at most"}],
        )
    what = "key column" if name == "keys" else "column"
    for number, one in enumerate(given):
        if not isinstance(one, dict):
            raise _wrong(f"{name}[{number}]", one, f"an object: {what} to value")
    return given


def _wrong(name: str, got: Any, allowed: str) -> HttpProblem:
    error = wrong_entry(name, got, allowed)
    detail = f"{error['name']}: got {error['got']}; allowed: {allowed}"
    return HttpProblem(400, "wrong-body", detail, [error])
