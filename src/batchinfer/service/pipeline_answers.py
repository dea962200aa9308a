"""Answers of one pipeline: what its store has of a key, or, for what the store has not, its table.

Rows lie in a store as the JSON that is answered, so they go into an answer as they are.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from batchinfer.contracts import SLICE
from batchinfer.errors import BatchInferError, InputMissing
from batchinfer.lookups.fallback_chain import BY, LEVEL, FallbackAnswer, FallbackChain
from batchinfer.lookups.key_values import UnfitKeys
from batchinfer.lookups.stores.stored_rows import stored_key
from batchinfer.report.terminal import show_line
from batchinfer.schedule import UNIT_FORMATS, unit_name
from batchinfer.service.followed_store import FEW_KEYS, FollowedStore
from batchinfer.service.held_generation import HeldGeneration
from batchinfer.service.problem_documents import HttpProblem, unavailable, wrong_entry
from batchinfer.service.question_keys import (
    Key,
    check_names,
    split_questions,
    stored_keys_of,
    wrong_keys,
)
from batchinfer.service.served_values import ServedPipeline
from batchinfer.service.table_reads import TableReads, TableRows

_SLICE_LETTERS = 200
# The kind of problem that a key without a row is.
ABSENT = "absent-key"


class FoundRow(NamedTuple):
    """A row of a key, as JSON, and when its slice was last confirmed; None: nobody knows."""

    row: bytes
    confirmed_s: float | None


class AnswerBody:
    """The body of a response, and what is counted of it.

    Attributes:
        hits, misses: keys that have a row, and keys that have none.
        fallbacks: keys that a fallback answers for, whether they have an old row or none.
    """

    __slots__ = ("body", "fallbacks", "hits", "misses")

    def __init__(self, body: bytes, hits: int, misses: int, fallbacks: int = 0) -> None:
        self.body, self.hits, self.misses, self.fallbacks = body, hits, misses, fallbacks


class PipelineAnswers:
    """Answers questions after keys of one pipeline.

    Attributes:
        fallbacks: the store of answers for keys without a fresh prediction; None: nothing answers.
    """

    def __init__(
        self,
        served: ServedPipeline,
        store: FollowedStore,
        fallbacks: FollowedStore | None,
        tables: TableReads,
        seconds: float,
    ) -> None:
        self.served, self.store, self.fallbacks = served, store, fallbacks
        self._tables, self._seconds = tables, seconds

    @property
    def stores(self) -> list[FollowedStore]:
        """All stores that are followed for it."""
        return [self.store, *([self.fallbacks] if self.fallbacks is not None else [])]

    def state(self) -> dict[str, Any]:
        """How the pipeline stands; its fallbacks stand beside it, and degrade it at most."""
        told = self.store.state()
        if self.fallbacks is None:
            return told
        fallbacks = self.fallbacks.state()
        if told["state"] in ("store", "table") and fallbacks["state"] in (
            "unavailable",
            "degraded",
        ):
            told = {**told, "state": "degraded"}
        return {**told, "fallbacks": fallbacks}

    async def one(self, question: Key, as_of: str | None) -> AnswerBody:
        """The row of one key: found, prediction, and the seconds since it was last confirmed; where
        there is none, or an old one, what a fallback says.

        Raises:
            HttpProblem: 404 where there is neither.
        """
        told, _ = await self._told([question], as_of, listed=False)
        answer = told[0]
        if answer.text is None:
            raise HttpProblem(
                404, ABSENT, f"pipeline {self.served.name} has no prediction of this key"
            )
        return AnswerBody(
            b"{" + answer.text + b"}", int(answer.found), int(not answer.found), int(answer.fell)
        )

    async def many(self, questions: Sequence[Key], as_of: str | None) -> AnswerBody:
        """The rows of several keys in their order, all of one generation."""
        told, generation = await self._told(questions, as_of, listed=True)
        results = [
            b'{"found":false,"prediction":null}' if one.text is None else b"{" + one.text + b"}"
            for one in told
        ]
        name = json.dumps(generation).encode()
        body = b'{"results":[' + b",".join(results) + b'],"generation":' + name + b"}"
        hits = sum(one.found for one in told)
        return AnswerBody(body, hits, len(told) - hits, sum(one.fell for one in told))

    async def _told(
        self, questions: Sequence[Key], as_of: str | None, listed: bool
    ) -> tuple[list[_Told], str | None]:
        """The answer for each question, and the generation that it is of."""
        chain = self.served.fallback if as_of is None else None
        keys, attributes = split_questions(questions, self.served.key, chain, listed)
        if as_of is not None:
            self._check_slice(as_of)
        found, stored, generation = await self._found(keys, as_of, listed)
        now = time.time()
        told = [_plain(row, now) for row in found]
        if chain is not None:
            await self._add_fallbacks(chain, told, found, stored, attributes, now)
        return told, generation

    async def _found(
        self, keys: Sequence[Key], as_of: str | None, listed: bool
    ) -> tuple[list[FoundRow | None], list[bytes], str | None]:
        """The row of each key, the keys as stores have them, and the generation."""
        if as_of is not None:
            return await self._from_table(keys, as_of, listed)
        with self.store.held() as held:
            if held is None:
                return await self._from_table(keys, None, listed)
            check_names(keys, held.generation.key, self.served.fallback, listed)
            stored = stored_keys_of(keys, held.key_types, listed)
            rows = await self._read(self.store, held, stored)
        try:
            found = [
                None
                if row is None
                else FoundRow(row, held.when_confirmed(json.loads(row)[SLICE] or ""))
                for row in rows
            ]
        except (ValueError, TypeError, KeyError) as error:
            # Pages of a file may be whole where rows in them are not.
            fault = f"generation {held.generation.name}: a row is no row: {error}"
            raise self.store.unreadable(held, fault) from None
        return found, stored, held.generation.name

    async def _read(
        self, store: FollowedStore, held: HeldGeneration, stored: Sequence[bytes]
    ) -> list[bytes | None]:
        if store.inline and len(stored) <= FEW_KEYS:
            return store.read_inline(held, stored)
        return await store.read(held, stored, self._seconds)

    async def _from_table(
        self, keys: Sequence[Key], as_of: str | None, listed: bool
    ) -> tuple[list[FoundRow | None], list[bytes], None]:
        check_names(keys, self.served.key, None if as_of else self.served.fallback, listed)
        try:
            read = await self._read_table(self.served.table, keys, as_of)
        except InputMissing:
            raise self._nothing_published() from None
        except UnfitKeys as error:
            raise wrong_keys(error, keys, listed) from None
        found = [
            None
            if row is None
            else FoundRow(_row_text(row), read.confirmed_s.get(row[SLICE] or ""))
            for row in read.rows
        ]
        return found, read.stored, None

    async def _read_table(self, table: str, keys: Sequence[Key], as_of: str | None) -> TableRows:
        """Rows of a table.

        Raises:
            InputMissing: there is none.
            UnfitKeys: keys that do not fit it.
            HttpProblem: 503, 504: a table that cannot be read, or not in time.
        """
        name = self.served.name
        try:
            return await self._tables.rows(table, keys, as_of, self._seconds)
        except asyncio.TimeoutError:
            raise HttpProblem(
                504,
                "too-slow",
                f"the table of pipeline {name} took longer than {self._seconds:g} s",
            ) from None
        except (InputMissing, UnfitKeys):
            raise
        except BatchInferError as error:
            show_line(f"batchinfer: pipeline {name}: {error}")
            raise unavailable(
                "table-unavailable", f"the table of pipeline {name} cannot be read now"
            ) from None

    async def _add_fallbacks(
        self,
        chain: FallbackChain,
        told: list[_Told],
        found: Sequence[FoundRow | None],
        stored: Sequence[bytes],
        attributes: Sequence[Mapping[str, Any]],
        now: float,
    ) -> None:
        """Answers of the levels for keys that have no row, or an old one, in place."""
        due = [
            place
            for place, row in enumerate(found)
            if row is None or chain.is_stale(row.confirmed_s, now)
        ]
        if not due:
            return
        known: list[Mapping[str, Any]] = []
        asked: list[list[tuple[str, str]]] = []
        for place in due:
            row = found[place]
            known.append({**({} if row is None else json.loads(row.row)), **attributes[place]})
            asked.append(chain.questions(stored[place], known[-1]))
        rows = iter(await self._fallback_rows([pair for pairs in asked for pair in pairs]))
        for place, pairs, about in zip(due, asked, known, strict=True):
            answer = chain.choose([next(rows) for _ in pairs], about)
            told[place] = _with_fallback(told[place], answer)

    async def _fallback_rows(
        self, asked: Sequence[tuple[str, str]]
    ) -> list[Mapping[str, Any] | None]:
        """The rows of the table of fallbacks, from its store or from the table itself."""
        assert self.fallbacks is not None, "a pipeline with levels has a store of them"
        with self.fallbacks.held() as held:
            if held is not None:
                keys = [stored_key(pair) for pair in asked]
                rows = await self._read(self.fallbacks, held, keys)
                return [None if row is None else json.loads(row) for row in rows]
        keys = [{LEVEL: level, BY: by} for level, by in asked]
        try:
            return [*(await self._read_table(self.served.fallback_table, keys, None)).rows]
        except InputMissing:
            # The run that publishes has not computed them yet.
            return [None] * len(asked)

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


class _Told(NamedTuple):
    """The answer for one question.

    Attributes:
        text: the members of its JSON object, without braces; None: there is nothing to say.
        found: whether the key has a row.
        fell: whether a fallback is in it.
    """

    text: bytes | None
    found: bool
    fell: bool = False


def _plain(row: FoundRow | None, now: float) -> _Told:
    if row is None:
        return _Told(None, False)
    age = b"null" if row.confirmed_s is None else b"%d" % max(0, now - row.confirmed_s)
    return _Told(b'"found":true,"prediction":' + row.row + b',"age_s":' + age, True)


def _with_fallback(told: _Told, answer: FallbackAnswer | None) -> _Told:
    """An answer with what a level says: beside an old row, or in place of none."""
    said = b"" if told.text is None else told.text + b',"stale":true'
    if answer is None:
        return told if told.text is None else _Told(said, True)
    level = b'"fallback":' + json.dumps(answer.level).encode()
    row = answer.row.encode()
    if told.text is None:
        return _Told(b'"found":false,' + level + b',"prediction":' + row, False, True)
    return _Told(said + b"," + level + b',"fallback_prediction":' + row, True, True)


def _row_text(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
