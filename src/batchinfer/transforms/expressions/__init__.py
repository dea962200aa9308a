"""Expressions of a row's columns, in Spark SQL's words and with Spark's meaning, without Spark.

Owns the language of `derive`. Must know no pipeline, no step and no Spark; `docs/expressions.md`
says what the language has.
"""

from batchinfer.transforms.expressions.expression import Evaluated, Expression, parse_expression
from batchinfer.transforms.expressions.syntax import ExpressionError

__all__ = ["Evaluated", "Expression", "ExpressionError", "parse_expression"]
