"""The online stores that a pipeline file may name under `load`.

Owns the fields of each kind. Knows no server: addresses stand in variables.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from batchinfer.config.fields import Place, Positive, Strict, VariableName


class EmbeddedTarget(Strict):
    """Files that a service maps into its memory; needs no server.

    Attributes:
        kind: files of its own.
        path: the folder, below the state folder unless it is absolute or `s3a://…`; by default
            `online/<pipeline>`.
        after: score: nights load, too.
    """

    kind: Literal["embedded"]
    path: Place | None = None
    after: Literal["score"] | None = None


class RedisTarget(Strict):
    """A server of Redis or Valkey, or a cluster of them.

    Attributes:
        kind: Redis or Valkey.
        url_env: the variable that holds the store's address, such as rediss://user:secret@host/0.
        ttl_s: seconds that a row stays; without it, for ever.
        after: score: nights load, too.
    """

    kind: Literal["redis"]
    url_env: VariableName
    ttl_s: Positive | None = None
    after: Literal["score"] | None = None


class DynamoTarget(Strict):
    """A table of DynamoDB.

    Attributes:
        kind: DynamoDB.
        table: its name; the key is `pk` and `sk`, both text; `load` makes it where it is not there.
        region: where it is; by default that of the machine's settings.
        endpoint_env: the variable that holds another address than that of the region.
        ttl_s: seconds that a row stays; without it, for ever.
        after: score: nights load, too.
    """

    kind: Literal["dynamodb"]
    table: Place
    region: Place | None = None
    endpoint_env: VariableName | None = None
    ttl_s: Positive | None = None
    after: Literal["score"] | None = None


class PostgresTarget(Strict):
    """A schema of a PostgreSQL database.

    Attributes:
        kind: PostgreSQL.
        url_env: the variable that holds the store's address, such as
            postgresql://user:secret@host/database.
        schema: that the tables are made in; `load` makes it where it is not there.
        after: score: nights load, too.
    """

    kind: Literal["postgres"]
    url_env: VariableName
    schema_: Place = Field("batchinfer", alias="schema")
    after: Literal["score"] | None = None


Target = EmbeddedTarget | RedisTarget | DynamoTarget | PostgresTarget


def _kind_tag(value: Any) -> str:
    return f"<{value.get('kind') if isinstance(value, dict) else getattr(value, 'kind', None)}>"


LoadTarget = Annotated[
    Annotated[EmbeddedTarget, Tag("<embedded>")]
    | Annotated[RedisTarget, Tag("<redis>")]
    | Annotated[DynamoTarget, Tag("<dynamodb>")]
    | Annotated[PostgresTarget, Tag("<postgres>")],
    Discriminator(_kind_tag),
]
