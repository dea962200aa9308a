"""Answers of one pipeline: what its store has of a key, or, for what the store has not, its table.

Rows lie in a store as the JSON that is answered, so they go into an answer as they are.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from batchinfer.contracts import SLICE
from batchinfer.errors import BatchInferError, InputError, InputMissing
from batchinfer.lookups.key_values import compare_names, convert_value
from batchinfer.lookups.stores.stored_rows import stored_key
from batchinfer.report.terminal import show_line
from batchinfer.schedule import UNIT_FORMATS, unit_name
from batchinfer.service.followed_store import FollowedStore, HeldGeneration
from batchinfer.service.problem_documents import HttpProblem, shortened, unavailable, wrong_entry
from batchinfer.service.served_values import ServedPipeline

if TYPE_CHECKING:
    import pyarrow as pa

_T = TypeVar("_T")
# The event loop waits for so many keys at once, where reads are quick.
_INLINE_KEYS = 16
_TABLE_THREADS = 4
_SLICE_LETTERS = 200
# The kind of problem that a key without a row is.
ABSENT = "absent-key"
Key = Mapping[str, Any]


class TableReads:
    """Reads of tables, in a few threads: they take tens of milliseconds, not microseconds."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_TABLE_THREADS, "table")
        self._confirmed: dict[str, tuple[int, Mapping[str, float]]] = {}

    async def rows(
        self, table: str, keys: Sequence[Key], as_of: str | None, seconds: float
    ) -> tuple[list[dict[str, Any] | None], Mapping[str, float]]:
        """The row of each key, and when each slice was last confirmed.

        Raises:
            asyncio.TimeoutError: they took longer.
            BatchInferError: as `lookup_rows` does.
        """
        reading = asyncio.get_running_loop().run_in_executor(
            self._pool, self._read, table, keys, as_of
        )
        return await asyncio.wait_for(reading, seconds)

    def _read(
        self, table: str, keys: Sequence[Key], as_of: str | None
    ) -> tuple[list[dict[str, Any] | None], Mapping[str, float]]:
        # Both are heavy, and most services never read a table.
        from batchinfer.lookups.confirmed import confirmed_times
        from batchinfer.lookups.keyed_snapshots import open_snapshot
        from batchinfer.lookups.tables import lookup_rows

        rows = lookup_rows(table, keys, as_of)
        version = open_snapshot(table).version
        known = self._confirmed.get(table)
        if known is None or known[0] != version:
            times = confirmed_times(table, version)
            seconds = {
                name: dt.datetime.fromisoformat(text).timestamp() for name, text in times.items()
            }
            known = self._confirmed[table] = (version, seconds)
        return rows, known[1]

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class AnswerBody:
    """The body of a response, and what is counted of it.

    Attributes:
        hits, misses: keys that have a row, and keys that have none.
    """

    __slots__ = ("body", "hits", "misses")

    def __init__(self, body: bytes, hits: int, misses: int) -> None:
        self.body, self.hits, self.misses = body, hits, misses


class PipelineAnswers:
    """Answers questions after keys of one pipeline."""

    def __init__(
        self, served: ServedPipeline, store: FollowedStore, tables: TableReads, seconds: float
    ) -> None:
        self.served, self.store = served, store
        self._tables, self._seconds = tables, seconds

    async def one(self, key: Key, as_of: str | None) -> AnswerBody:
        """The row of one key: found, prediction, and the seconds since it was last confirmed.

        Raises:
            HttpProblem: 404 where there is none.
        """
        told, _ = await self._told([key], as_of)
        if told[0] is None:
            return self._absent()
        return AnswerBody(b'{"found":true,' + told[0] + b"}", 1, 0)

    async def many(self, keys: Sequence[Key], as_of: str | None) -> AnswerBody:
        """The rows of several keys in their order, all of one generation."""
        told, generation = await self._told(keys, as_of)
        results = [
            b'{"found":false,"prediction":null}' if one is None else b'{"found":true,' + one + b"}"
            for one in told
        ]
        name = json.dumps(generation).encode()
        body = b'{"results":[' + b",".join(results) + b'],"generation":' + name + b"}"
        misses = told.count(None)
        return AnswerBody(body, len(told) - misses, misses)

    def _absent(self) -> AnswerBody:
        """What a key without a row is answered. Fallbacks, once pipelines have them, stand here."""
        raise HttpProblem(404, ABSENT, f"pipeline {self.served.name} has no prediction of this key")

    async def _told(
        self, keys: Sequence[Key], as_of: str | None
    ) -> tuple[list[bytes | None], str | None]:
        """For each key the members `prediction` and `age_s`, without braces; and the generation."""
        if as_of is not None:
            self._check_slice(as_of)
            return await self._from_table(keys, as_of), None
        with self.store.held() as held:
            if held is None:
                return await self._from_table(keys, None), None
            _check_names(keys, held.generation.key)
            stored = _stored_keys(keys, held.key_types)
            if self.store.inline and len(stored) <= _INLINE_KEYS:
                rows = self.store.read_inline(held, stored)
            else:
                rows = await self.store.read(held, stored, self._seconds)
        now = time.time()
        return [_told(row, held, now) for row in rows], held.generation.name

    async def _from_table(self, keys: Sequence[Key], as_of: str | None) -> list[bytes | None]:
        name = self.served.name
        _check_names(keys, self.served.key)
        try:
            rows, confirmed = await self._tables.rows(self.served.table, keys, as_of, self._seconds)
        except asyncio.TimeoutError:
            raise HttpProblem(
                504,
                "too-slow",
                f"the table of pipeline {name} took longer than {self._seconds:g} s",
            ) from None
        except InputMissing:
            raise self._nothing_published() from None
        except InputError as error:
            errors = [{"name": "key", "allowed": shortened(problem)} for problem in error.problems]
            raise HttpProblem(422, "wrong-key", error.problems[0], errors) from None
        except BatchInferError as error:
            show_line(f"batchinfer: pipeline {name}: {error}")
            raise unavailable(
                "table-unavailable", f"the table of pipeline {name} cannot be read now"
            ) from None
        now = time.time()
        return [None if row is None else _told_row(row, confirmed, now) for row in rows]

    def _nothing_published(self) -> HttpProblem:
        commands = [self.served.publish_command, self.served.load_command]
        return HttpProblem(
            404,
            "nothing-published",
            f"no predictions of pipeline {self.served.name} have been published",
            fields={
                "hint": f"{commands[0]} publishes predictions, {commands[1]} puts them into the "
                "store",
                "next": commands,
            },
        )

    def _check_slice(self, as_of: str) -> None:
        unit = self.served.slice_unit
        if unit is None:
            allowed = "a slice, without path syntax"
            fits = (
                0 < len(as_of) <= _SLICE_LETTERS
                and as_of not in (".", "..")
                and not any(letter in "/\\" or ord(letter) < 32 for letter in as_of)
            )
        else:
            moment = dt.datetime(2026, 11, 21, 7)
            allowed, fits = f"a {unit} such as {unit_name(moment, unit)}", _is_of_unit(unit, as_of)
        if not fits:
            error = wrong_entry("as_of", as_of, allowed)
            detail = f"as_of: got {error['got']}; allowed: {allowed}"
            raise HttpProblem(400, "wrong-parameters", detail, [error])


def _is_of_unit(unit: str, text: str) -> bool:
    try:
        return unit_name(dt.datetime.strptime(text, UNIT_FORMATS[unit]), unit) == text
    except ValueError:
        return False


def _check_names(keys: Sequence[Key], columns: Sequence[str]) -> None:
    """Refuses columns that are not the key's, and keys that lack some; every one of them at once.

    Raises:
        HttpProblem: 400.
    """
    wanted = set(columns)
    allowed = ", ".join(columns)
    errors: list[dict[str, str]] = []
    first = ""
    for number, key in enumerate(keys):
        if set(key) == wanted:
            continue
        place = "" if len(keys) == 1 else f"keys[{number}]."
        first = first or compare_names(list(key), columns)[0]
        errors += [
            wrong_entry(place + name, key[name], f"key columns: {allowed}")
            for name in key
            if name not in wanted
        ]
        errors += [
            {"name": place + name, "got": "nothing", "allowed": "a value"}
            for name in columns
            if name not in key
        ]
    if errors:
        raise HttpProblem(400, "wrong-parameters", first, errors)


def _stored_keys(keys: Sequence[Key], types: Mapping[str, pa.DataType]) -> list[bytes]:
    """The keys as they lie in a store.

    Raises:
        HttpProblem: 422: values that are not of the columns' types; every one of them.
    """
    stored: list[bytes] = []
    errors: list[dict[str, str]] = []
    first = ""
    for number, key in enumerate(keys):
        values: list[Any] = []
        for name, type_ in types.items():
            try:
                values.append(convert_value(name, key[name], type_))
            except InputError as error:
                first = first or str(error)
                place = name if len(keys) == 1 else f"keys[{number}].{name}"
                allowed = str(error).rpartition("; allowed: ")[2]
                errors.append(wrong_entry(place, key[name], allowed))
        if not errors:
            stored.append(stored_key(values))
    if errors:
        raise HttpProblem(422, "wrong-key", first, errors)
    return stored


def _told(row: bytes | None, held: HeldGeneration, now: float) -> bytes | None:
    if row is None:
        return None
    slice_ = json.loads(row)[SLICE]
    age = _age(held.confirmed_s.get(slice_ or ""), now)
    return b'"prediction":' + row + b',"age_s":' + age


def _told_row(row: Mapping[str, Any], confirmed: Mapping[str, float], now: float) -> bytes:
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    age = _age(confirmed.get(row[SLICE] or ""), now)
    return b'"prediction":' + text.encode() + b',"age_s":' + age


def _age(confirmed_s: float | None, now: float) -> bytes:
    return b"null" if confirmed_s is None else b"%d" % max(0, now - confirmed_s)
