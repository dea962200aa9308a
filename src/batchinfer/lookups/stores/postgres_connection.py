"""A connection to PostgreSQL that never waits without end, and bytes as COPY takes them.

The server's own time limits do not run while the server is stopped, so the client keeps the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed

CONNECT_S, ANSWER_S = 3, 5
COPY_BEGIN, COPY_END = b"PGCOPY\n\xff\r\n\x00" + bytes(8), b"\xff\xff"
_HEAD, _LENGTH, _PART = Struct("!hi").pack, Struct("!i").pack, Struct("!ii").pack


class PatientConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is closed where the server does not answer in time.

    Attributes:
        patience_s: seconds without an answer to one question, or without taking a piece of COPY.
    """

    patience_s: float = ANSWER_S

    def rows(
        self, query: SQL | Composed, values: Any = None, binary: bool = False
    ) -> list[tuple[Any, ...]]:
        """What a query gives."""
        return self.execute(query, values, binary=binary).fetchall()

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, timeout or self.patience_s)
        except psycopg.OperationalError as error:
            if type(error).__name__ != "_WaitTimeout":
                raise
            # What was asked may still be answered: nothing else can be asked here.
            self.close()
            raise psycopg.OperationalError(f"no answer in {self.patience_s:g} s") from None


def open_postgres(url: str) -> PatientConnection:
    """Connects; a statement is a transaction unless one is begun.

    Raises:
        psycopg.Error: what the server said, or that it does not answer.
    """
    connection = PatientConnection.connect(
        url, autocommit=True, connect_timeout=CONNECT_S, client_encoding="UTF8"
    )
    connection.execute("SET lock_timeout = '4s'")
    return connection


def copy_rows(keys: Sequence[bytes], values: Sequence[bytes], part: int) -> bytes:
    """Rows of key, value and part in COPY's binary format.

    Source: PostgreSQL documentation, COPY, "Binary Format".
    """
    end = _PART(4, part)
    return b"".join(
        [
            b"%b%b%b%b%b" % (_HEAD(3, len(key)), key, _LENGTH(len(value)), value, end)
            for key, value in zip(keys, values, strict=True)
        ]
    )
