"""What the rows of JSON records are made of: a path for each column, and the list whose items
become rows.

Owns how paths are followed into one parsed document. Must not know text, lines or files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from batchinfer.config.json_paths import JsonPath, column_path, read_json_path, written_path
from batchinfer.config.shapes.source_columns import JsonColumn
from batchinfer.sources.json.values import Fit, Unfit, fit_function
from batchinfer.sources.text.columns import TextRule
from batchinfer.sources.text.timestamps import TimestampRule


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        steps: to its value, from the record; from the item where it is `inside`.
        inside: whether it is a part of the exploded list's items.
        fit: see `fit_function`.
    """

    name: str
    type: pa.DataType
    steps: JsonPath
    inside: bool
    fit: Fit = field(compare=False)


@dataclass(frozen=True)
class Shape:
    """All columns, the path of the exploded list (None: a row a record), and how dates and
    timestamps are written.
    """

    columns: tuple[Column, ...]
    explode: JsonPath | None
    rule: TextRule

    @classmethod
    def of(
        cls,
        schema: Mapping[str, JsonColumn],
        fields: Mapping[str, pa.DataType],
        explode: str | None = None,
        timestamp_format: str | None = None,
    ) -> Shape:
        """The shape that a schema describes: a path that begins with that of the list goes on
        inside its items.

        Args:
            schema: columns and their paths, as configured.
            fields: columns and their types; one that the schema does not have is the key of its
                name.

        Raises:
            ValueError: a path that cannot be read.
        """
        rule = TextRule(timestamp=TimestampRule(timestamp_format))
        exploded = read_json_path(explode) if explode else None
        columns = []
        for name, type_ in fields.items():
            steps = column_path(name, schema[name].path if name in schema else None)
            inside = exploded is not None and steps[: len(exploded)] == exploded
            columns.append(
                Column(
                    name,
                    type_,
                    steps[len(exploded or ()) :] if inside else steps,
                    inside,
                    fit_function(type_, rule.timestamp.is_epoch),
                )
            )
        return cls(tuple(columns), exploded, rule)

    def items(self, record: Mapping[str, Any]) -> Sequence[Any]:
        """The items that become rows: without `explode` one, which has no parts.

        Raises:
            Unfit: what stands at the path is no list.
        """
        if self.explode is None:
            return (None,)
        found = follow(record, self.explode)
        if found is None:
            return ()
        if not isinstance(found, list):
            raise Unfit(found, "a list", written_path(self.explode))
        return found


def follow(value: Any, steps: JsonPath) -> Any:
    """What stands at a path; None where a key or an item is missing, or null is on the way.

    Raises:
        Unfit: the path leads into a value that has no such parts.
    """
    for number, step in enumerate(steps):
        if value is None:
            return None
        if isinstance(step, str):
            if not isinstance(value, dict):
                raise Unfit(value, "an object", written_path(steps[:number]))
            value = value.get(step)
        else:
            if not isinstance(value, list):
                raise Unfit(value, "a list", written_path(steps[:number]))
            value = value[step] if step < len(value) else None
    return value
