"""A pipeline that reads PostgreSQL's table `orders`, and what the tests of it share."""

from __future__ import annotations

from typing import Any

from postgres import Postgres
from spark.projects import SmallProject

NEXT = "2026-11-22"


ORDERS = """\
name: small
source:
  kind: jdbc
  url_env: ORDERS_URL
  user_env: ORDERS_USER
  password_env: ORDERS_PASSWORD
  table: orders
  key: id
  slice: ingest_date
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/small}
"""


def landed(project: SmallProject, *names: str) -> list[Any]:
    rows = project.table("landed").to_pylist()
    return (
        sorted(rows, key=lambda row: (row["id"], row["slice"]))
        if not names
        else sorted(tuple(row[n] for n in names) for row in rows)
    )


def orders(
    postgres: Postgres, rows: str, columns: str = "id int, at timestamptz, amount numeric(10,2)"
) -> None:
    postgres.sql(f"create table if not exists orders ({columns}); insert into orders values {rows}")
