"""An expression of a row's columns: read from text, held against types, computed for batches.

Owns the public face of the language. Knows no pipeline and no Spark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

from batchinfer.transforms.expressions import sql_types as sql
from batchinfer.transforms.expressions.binding import bind_tree, check_functions
from batchinfer.transforms.expressions.bound import Bound, Errors, RowsRead, one_array, without_rows
from batchinfer.transforms.expressions.grammar import parse_tree
from batchinfer.transforms.expressions.syntax import Node, columns_read, told_at


@dataclass(frozen=True)
class Evaluated:
    """An expression's values for a batch.

    Attributes:
        values: one a row, of the expression's type; null in rows that are wrong.
        errors: what is wrong, by row counted from 0: division by zero, an overflow, a cast.
    """

    values: pa.Array
    errors: Errors


@dataclass(frozen=True)
class Expression:
    """An expression in the language of Spark SQL, with Spark's meaning in ANSI mode and UTC.

    It can be pickled, has no state, and gives the same for a row in every batch.

    Attributes:
        text: as it was written.
        tree: what it says.
    """

    text: str
    tree: Node

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads, in order of first mention."""
        return tuple(dict.fromkeys(named.name for named in columns_read(self.tree)))

    def type_of(self, columns: Mapping[str, pa.DataType]) -> pa.DataType:
        """The type of its values for columns of these types; columns it does not read may be there.

        Raises:
            ExpressionError: a column that is not there, or of a type that an operator or function
                does not take; the message names the character.
        """
        return _bound(self.tree, tuple(columns.items())).type

    def evaluate(self, batch: pa.RecordBatch | Mapping[str, pa.Array]) -> Evaluated:
        """Its values for a batch of at least the columns that it reads.

        A batch that is a mapping without any column has no rows.

        Raises:
            ExpressionError: as `type_of`; never because of a value.
        """
        given, count = _given(batch)
        columns = {name: given[name] for name in self.columns if name in given}
        types = {name: array.type for name, array in given.items()}
        bound = _bound(self.tree, tuple(types.items()))
        rows = RowsRead({name: _seen(array) for name, array in columns.items()}, count)
        found = bound.compute(rows)
        return Evaluated(without_rows(found.array(count), found.errors), found.errors)


def parse_expression(text: str) -> Expression:
    """An expression from its text, such as `price * (1 - coalesce(discount, 0))`.

    Raises:
        ExpressionError: the first place at which it is none, or a function that is not there.
    """
    tree = parse_tree(text)
    check_functions(tree)
    return Expression(text, tree)


@lru_cache(maxsize=256)
def _bound(tree: Node, columns: tuple[tuple[str, pa.DataType], ...]) -> Bound:
    bound = bind_tree(tree, dict(columns))
    if bound.type == sql.NULL:
        raise told_at(0, "got an expression that is always null; allowed: cast(null as double)")
    return bound


def _given(batch: pa.RecordBatch | Mapping[str, pa.Array]) -> tuple[Mapping[str, pa.Array], int]:
    if isinstance(batch, Mapping):
        return batch, max((len(array) for array in batch.values()), default=0)
    return dict(zip(batch.schema.names, batch.columns, strict=True)), batch.num_rows


def _seen(array: pa.Array) -> pa.Array:
    """A column as expressions see it: text and binaries of one kind, timestamps in UTC."""
    array = one_array(array)
    type_ = sql.column_type(array.type)
    return array if type_ is None or type_ == array.type else array.cast(type_)
