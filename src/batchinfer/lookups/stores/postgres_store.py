"""The store in a schema of a PostgreSQL database.

A layer is a table of its own, filled by COPY and indexed when it is whole. A row that a layer takes
away has an empty value. The pointer is a row of `pred_pointers`; in the transaction that sets it, a
view named as the pipeline is replaced, so that people see the same generation: `key`, and `row` as
json. Not as jsonb, which no query could read past a row with `\\u0000` in one of its texts.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from psycopg import Error, OperationalError
from psycopg.errors import LockNotAvailable, UndefinedTable, UniqueViolation
from psycopg.sql import SQL, Composed, Identifier, Literal

from batchinfer.errors import DamagedStore, StorageError
from batchinfer.json_values import to_json
from batchinfer.lookups.stores.generation import (
    Generation,
    Layer,
    LayerPart,
    Pointer,
    read_pointer,
    succeeding,
)
from batchinfer.lookups.stores.online_store import Room, Rows, StreamedRow, newest_first
from batchinfer.lookups.stores.postgres_connection import (
    COPY_BEGIN,
    COPY_END,
    PatientConnection,
    copy_rows,
    open_postgres,
)
from batchinfer.lookups.stores.postgres_queries import (
    LAYER,
    STREAM,
    SWEEP,
    TABLES,
    UPSERT,
    read_query,
    view_query,
)
from batchinfer.lookups.stores.store_addresses import shown_address
from batchinfer.lookups.stores.stored_rows import row_checksum
from batchinfer.lookups.stores.streamed_rows import pointer_below, unless_damaged

_T = TypeVar("_T")
# PostgreSQL cuts longer names without a word.
_NAME_BYTES = 63
# What a server does in a second, at the least; and how long it may take besides.
_READ_A_SECOND, _READ_S = 2_000, 5
_INDEXED_A_SECOND, _LOAD_S = 20_000, 60
_FETCHED_ROWS = 10_000


@dataclass
class PostgresStore:
    """Rows in tables of a database.

    Attributes:
        url: with user and password.
        schema: that the tables are in.
        table: whose rows these are.
    """

    url: str = field(repr=False)
    schema: str
    table: str
    kind: str = "postgres"
    sorted_parts: bool = False
    finds_parts: bool = False
    ttl_s: int | None = None
    _connections: dict[tuple[int, int], PatientConnection] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "schema": self.schema, "table": self.table}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    @property
    def place(self) -> str:
        return f"{shown_address(self.url)}, schema {self.schema}"

    def pointer(self) -> Pointer | None:
        return self._parsed(self._ask("read the pointer", self._pointer_text))

    def begin(self, layer: str, parts: int) -> None:
        with self._loading("begin a layer") as connection, connection.transaction():
            self._lock(connection)
            schema = Identifier(self.schema)
            # Who may not make a schema may still use one.
            query = SQL("SELECT to_regnamespace(%s) IS NULL")
            [[missing]] = connection.rows(query, [schema.as_string()])
            if missing:
                connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
            connection.execute(TABLES.format(schema))
            self._make(connection, layer, LAYER)

    def write_part(self, layer: str, part: int, rows: Iterable[Rows]) -> LayerPart:
        count = checksum = size = 0
        relation = self._relation(layer)
        into = self._in(relation)
        with (
            self._loading("write a part") as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            # The same part in another transaction is waited for.
            insert = SQL("INSERT INTO {} VALUES (%s, %s) ON CONFLICT DO NOTHING")
            cursor.execute(insert.format(self._in("pred_parts")), [relation, part])
            if not cursor.rowcount:
                cursor.execute(SQL("DELETE FROM {} WHERE part = %s").format(into), [part])
            with cursor.copy(SQL("COPY {} FROM STDIN (FORMAT binary)").format(into)) as copy:
                copy.write(COPY_BEGIN)
                for keys, values in rows:
                    copy.write(copy_rows(keys, values, part))
                    count += len(keys)
                    checksum += sum(map(row_checksum, keys, values))
                    size += sum(map(len, keys)) + sum(map(len, values))
                copy.write(COPY_END)
        return LayerPart(part, count, checksum & 0xFFFF_FFFF_FFFF_FFFF, size)

    def finish(self, layer: Layer) -> None:
        relation, table = self._relation(layer.name), self._in(self._relation(layer.name))
        told = {part.number: part.rows for part in layer.parts}
        limit = _LOAD_S + layer.rows / _INDEXED_A_SECOND
        with self._loading("count and index a layer", limit) as connection:
            counts = SQL("SELECT part, count(*) FROM {} GROUP BY part").format(table)
            try:
                there: dict[int, int] = dict(connection.rows(counts))
            except UndefinedTable:
                raise DamagedStore(
                    f"{self.place}: layer {layer.name}: its table {relation} is not there"
                ) from None
            for part in sorted(there.keys() | told.keys()):
                if there.get(part, 0) != told.get(part, 0):
                    raise DamagedStore(
                        f"{self.place}: layer {layer.name}, part {part}: {there.get(part, 0):,} "
                        f"rows are there, {told.get(part, 0):,} were written"
                    )
            try:
                index = SQL("CREATE UNIQUE INDEX IF NOT EXISTS {} ON {} (key)")
                connection.execute(index.format(Identifier(f"{relation}_key"), table))
            except UniqueViolation as error:
                raise StorageError(
                    f"{self.place}: layer {layer.name}: a key comes twice: "
                    f"{error.diag.message_detail}"
                ) from None
            connection.execute(SQL("ANALYZE {}").format(table))

    def _make(self, connection: PatientConnection, layer: str, shape: SQL) -> None:
        relation = self._relation(layer)
        insert = SQL("INSERT INTO {} VALUES (%s, %s, %s) ON CONFLICT DO NOTHING")
        connection.execute(insert.format(self._in("pred_layers")), [self.table, layer, relation])
        connection.execute(shape.format(self._in(relation)))

    def switch(self, new: Pointer, expected: Pointer | None) -> None:
        with self._loading("set the pointer") as connection, connection.transaction():
            self._lock(connection)
            text = self._pointer_text(connection)
            after = succeeding(new, expected, unless_damaged(lambda: self._parsed(text)))
            if after is None:
                raise StorageError(f"{self.place}: another load has set the pointer meanwhile")
            self._put_pointer(connection, after)

    def _put_pointer(self, connection: PatientConnection, new: Pointer) -> None:
        upsert = SQL(
            "INSERT INTO {} VALUES (%s, %s) "
            "ON CONFLICT (table_name) DO UPDATE SET pointer = excluded.pointer"
        )
        connection.execute(upsert.format(self._in("pred_pointers")), [self.table, to_json(new)])
        view = self._in(_fitted(self.table, self.table))
        query = view_query(*self._relations(new.current), new.current.version)
        connection.execute(SQL("CREATE OR REPLACE VIEW {} AS {}").format(view, query))

    def _parsed(self, text: str | None) -> Pointer | None:
        return None if text is None else read_pointer(text, f"{self.place}, pred_pointers")

    def upsert(self, commit: int, rows: Iterable[Rows]) -> int:
        pointer = pointer_below(self, commit)
        if pointer is None:
            return 0
        if not pointer.current.streamed:
            self._begin_stream()
        taken, query = 0, UPSERT.format(self._in(self._relation(pointer.current.stream)))
        for keys, values in rows:
            given = [commit, [key.decode() for key in keys], list(values)]
            taken += self._ask("write streamed rows", partial(_changed_rows, query, given))
        return taken

    def _begin_stream(self) -> None:
        """Makes the table of streamed rows, and tells readers of it, in one transaction."""
        with self._loading("begin to stream") as connection, connection.transaction():
            self._lock(connection)
            pointer = self._parsed(self._pointer_text(connection))
            if pointer is not None and not pointer.current.streamed:
                self._make(connection, pointer.current.stream, STREAM)
                self._put_pointer(connection, pointer.with_stream())

    def streamed(self, generation: Generation) -> Iterator[StreamedRow]:
        if not generation.streamed:
            return
        name = self._in(self._relation(generation.stream))
        query = SQL("SELECT key, commit, value FROM {}").format(name)
        for key, commit, value in self._fetched("read streamed rows", query):
            yield key.encode(), commit, value

    def sweep_streamed(self) -> None:
        pointer = self.pointer()
        if pointer is None or not pointer.current.streamed:
            return
        name = self._in(self._relation(pointer.current.stream))
        with self._loading("remove streamed rows") as connection:
            connection.execute(SWEEP.format(name), [pointer.floor])

    def read(self, generation: Generation, keys: Sequence[bytes]) -> list[bytes | None]:
        if not generation.seen or not keys:
            return [None] * len(keys)
        query = read_query(*self._relations(generation), generation.version)
        asked = [key.decode() for key in keys]

        def rows(connection: PatientConnection) -> list[tuple[Any, ...]]:
            connection.patience_s = _READ_S + len(keys) / _READ_A_SECOND
            return connection.rows(query, {"keys": asked}, binary=True)

        found: list[dict[str, bytes]] = [{} for _ in generation.seen]
        for place, key, value in self._ask("read rows", rows):
            found[place][key] = value
        return newest_first([[layer.get(key) for key in asked] for layer in found])

    def _relations(self, generation: Generation) -> tuple[list[Identifier], Identifier | None]:
        """Those of a generation's layers, and that of the rows streamed above them."""
        stream = self._in(self._relation(generation.stream)) if generation.streamed else None
        return [self._in(self._relation(layer.name)) for layer in generation.layers], stream

    def scan(self, layer: Layer) -> Iterator[tuple[bytes, bytes]]:
        query = SQL("SELECT key, value FROM {}").format(self._in(self._relation(layer.name)))
        for key, value in self._fetched("read a layer", query):
            yield key.encode(), value

    def _fetched(self, what: str, query: SQL | Composed) -> Iterator[tuple[Any, ...]]:
        # A connection of its own: others may ask while the rows of this one are looked at.
        with self._faults(what), open_postgres(self.url) as connection:
            connection.patience_s = _LOAD_S
            with connection.transaction(), connection.cursor("layer", binary=True) as cursor:
                cursor.itersize = _FETCHED_ROWS
                yield from cursor.execute(query)

    def layers(self) -> frozenset[str]:
        query = SQL("SELECT layer FROM {} WHERE table_name = %s").format(self._in("pred_layers"))

        def names(connection: PatientConnection) -> list[tuple[Any, ...]]:
            if not self._has_tables(connection):
                return []
            return connection.rows(query, [self.table])

        return frozenset(name for (name,) in self._ask("list the layers", names))

    def drop(self, layers: Collection[str]) -> None:
        for layer in layers:
            relation = self._relation(layer)
            with self._loading("remove a layer") as connection:
                try:
                    with connection.transaction():
                        self._drop(connection, relation)
                except LockNotAvailable:
                    # Somebody is reading it; it stays on the list, for the next time.
                    continue

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def check_room(self, rows: int, row_bytes: Callable[[], float]) -> Room:
        return Room()

    def _drop(self, connection: PatientConnection, relation: str) -> None:
        if not self._has_tables(connection):
            return
        connection.execute(SQL("DROP TABLE IF EXISTS {}").format(self._in(relation)))
        delete = SQL("DELETE FROM {} WHERE relation = %s")
        for name in ("pred_parts", "pred_layers"):
            connection.execute(delete.format(self._in(name)), [relation])

    def _pointer_text(self, connection: PatientConnection) -> str | None:
        if not self._has_tables(connection):
            return None
        query = SQL("SELECT pointer FROM {} WHERE table_name = %s")
        found = connection.rows(query.format(self._in("pred_pointers")), [self.table])
        return found[0][0] if found else None

    def _has_tables(self, connection: PatientConnection) -> bool:
        name = self._in("pred_layers").as_string()
        [[there]] = connection.rows(SQL("SELECT to_regclass(%s) IS NOT NULL"), [name])
        return there

    def _lock(self, connection: PatientConnection) -> None:
        """One load at a time makes tables and sets pointers, until its transaction ends."""
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"pred {self.schema}"])

    def _in(self, name: str) -> Identifier:
        return Identifier(self.schema, name)

    def _relation(self, layer: str) -> str:
        # Room for the name of its index, too.
        return _fitted(f"pred_{self.table}", f"{self.table}\n{layer}", always=True, ending=4)

    def _connection(self) -> PatientConnection:
        """That of this thread."""
        own = os.getpid(), threading.get_ident()
        connection = self._connections.get(own)
        if connection is None or connection.closed:
            connection = self._connections[own] = open_postgres(self.url)
            # The server, too, ends what nobody waits for any more.
            connection.execute(SQL("SET statement_timeout = {}").format(Literal(f"{_LOAD_S}s")))
        return connection

    def _ask(self, what: str, question: Callable[[PatientConnection], _T]) -> _T:
        """What a question that may be asked twice is answered."""
        with self._faults(what):
            known = self._connections.get((os.getpid(), threading.get_ident()))
            connection = self._connection()
            try:
                return question(connection)
            except OperationalError:
                # The server has closed it while nobody used it.
                if known is not connection or not connection.closed:
                    raise
            return question(self._connection())

    @contextmanager
    def _loading(self, what: str, limit_s: float = _LOAD_S) -> Generator[PatientConnection]:
        """A connection of its own, with patience."""
        with self._faults(what), open_postgres(self.url) as connection:
            connection.patience_s = limit_s
            yield connection

    @contextmanager
    def _faults(self, what: str) -> Generator[None]:
        try:
            yield
        except Error as error:
            words = " ".join(str(error).split()) or type(error).__name__
            raise StorageError(f"{self.place}: cannot {what}: {words}") from None


def _changed_rows(query: Composed, given: list[Any], connection: PatientConnection) -> int:
    connection.patience_s = _LOAD_S
    return connection.execute(query, given, binary=True).rowcount


def _fitted(name: str, whole: str, always: bool = False, ending: int = 0) -> str:
    """A name that PostgreSQL does not cut: a long one ends in a digest of what it stands for."""
    most = _NAME_BYTES - ending
    if len(name.encode()) <= most and not always:
        return name
    digest = hashlib.sha256(whole.encode()).hexdigest()[:16]
    head = name.encode()[: most - len(digest) - 1].decode(errors="ignore")
    return f"{head}_{digest}"
