"""What the store in PostgreSQL says in SQL: its tables, the view of a generation, streamed rows.

A generation is told here as relations: its layers, newest first, and above them the relation of
streamed rows, of which those of newer commits than the generation's count.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.sql import SQL, Composed, Identifier, Literal

TABLES = SQL("""
CREATE TABLE IF NOT EXISTS {0}.pred_pointers (
    table_name text PRIMARY KEY, pointer text NOT NULL);
CREATE TABLE IF NOT EXISTS {0}.pred_layers (
    table_name text, layer text, relation text NOT NULL, PRIMARY KEY (table_name, layer));
CREATE TABLE IF NOT EXISTS {0}.pred_parts (
    relation text, part int, PRIMARY KEY (relation, part));
""")
LAYER = SQL("""
CREATE TABLE IF NOT EXISTS {} (
    key text COLLATE "C" NOT NULL, value bytea NOT NULL, part int NOT NULL)
""")
STREAM = SQL("""
CREATE TABLE IF NOT EXISTS {} (
    key text COLLATE "C" PRIMARY KEY, value bytea NOT NULL, commit bigint NOT NULL)
""")
# In the order of keys: so two writers of the same rows wait for each other in one direction only.
UPSERT = SQL("""
INSERT INTO {} AS old (key, value, commit)
SELECT key, value, %s FROM unnest(%s::text[], %s::bytea[]) AS new (key, value) ORDER BY key
ON CONFLICT (key) DO UPDATE SET value = excluded.value, commit = excluded.commit
WHERE old.commit < excluded.commit
""")
# A row that is being replaced by a newer one is left to that.
SWEEP = SQL("""
DELETE FROM {0} WHERE key IN (SELECT key FROM {0} WHERE commit <= %s FOR UPDATE SKIP LOCKED)
""")


def read_query(
    layers: Sequence[Identifier], stream: Identifier | None, version: int
) -> SQL | Composed:
    """The rows of the keys `%(keys)s` in each relation, with its place among all of them, the
    stream's first.
    """
    one = SQL("SELECT {}, key, value FROM {} WHERE key = ANY(%(keys)s){}")
    newer = _newer(version)
    return SQL(" UNION ALL ").join(
        one.format(Literal(place), name, newer if name is stream else SQL(""))
        for place, name in enumerate([*([stream] if stream else []), *layers])
    )


def view_query(
    layers: Sequence[Identifier], stream: Identifier | None, version: int
) -> SQL | Composed:
    """The rows of a generation: of each key that of the newest relation, unless it is gone."""
    names = [*([stream] if stream else []), *layers]
    if not names:
        return SQL("""SELECT ''::text COLLATE "C" AS key, NULL::json AS row WHERE false""")
    rows = SQL(
        "SELECT l.key, convert_from(l.value, 'UTF8')::json AS row FROM {} l WHERE l.value <> ''{}{}"
    )
    above = SQL(" AND NOT EXISTS (SELECT FROM {} n WHERE n.key = l.key{})")
    newer = [_newer(version) if name is stream else SQL("") for name in names]
    return SQL(" UNION ALL ").join(
        rows.format(
            name,
            newer[place],
            SQL("").join(above.format(names[at], newer[at]) for at in range(place)),
        )
        for place, name in enumerate(names)
    )


def _newer(version: int) -> SQL | Composed:
    return SQL(" AND commit > {}").format(Literal(version))
