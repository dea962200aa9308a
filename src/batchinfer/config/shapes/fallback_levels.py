"""What answers for keys without a fresh prediction, as a pipeline file says under `fallback`.

Owns the fields, and that a name stands once. What a query means, Spark says before a run scores.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from batchinfer.config.fields import Duration, Identifier, NotAllowed, Strict, Texts
from batchinfer.config.shapes.described import TEXT, json_schema


def _query(value: str) -> str:
    if not value.strip():
        raise NotAllowed("a query such as select avg(score) as score from predictions")
    return value


Query = Annotated[str, AfterValidator(_query), json_schema("a query of Spark SQL", TEXT)]


class FallbackLevel(Strict):
    """One level: a row for each group that its query gives.

    Attributes:
        name: of the level; answers say it.
        by: columns of the query's result that tell its rows apart, such as a region; a question
            says their values, or the key's own features do. Without it the query gives one row.
        sql: a query over `predictions`, the newest served row of each key, and `features`, the
            newest landed row of each key, with the columns of `derive` that a level names.
    """

    name: Identifier
    by: Texts = ()
    sql: Query


class Fallback(Strict):
    """Answers for keys that have no prediction, are in quarantine, or whose row is too old.

    Attributes:
        max_age: how long ago the slice of a row may have been published; an older one is stale.
        levels: asked one after the other; the first that has a row answers.
    """

    max_age: Duration | None = None
    levels: Annotated[tuple[FallbackLevel, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_once(self) -> Any:
        names = [level.name for level in self.levels]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"got the level {twice[0]} twice; allowed: a name stands once")
        return self
