"""Errors and warnings of a run, without values of the pipeline's sensitive columns.

What is said of a single row is masked where the row is at hand; this is for what is said of data as
a whole, with examples.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from batchinfer.errors import BatchInferError, ConfigError
from batchinfer.masking.hidden_words import HIDDEN, HiddenWords, hiding
from batchinfer.masking.sensitive_columns import value_words
from batchinfer.pipeline.definition.context import Context


@contextmanager
def telling_no_values(context: Context) -> Generator[None]:
    """Within, no error about data shows a value of a sensitive column.

    What is wrong with a pipeline file or a command line is told as it is: it repeats no data.
    """
    try:
        yield
    except BatchInferError as error:
        if context.sensitive and not isinstance(error, ConfigError):
            error.problems = tuple(map(context.sensitive.of_text, error.problems))
            error.args = ("\n".join(error.problems),)
        raise


def without_values(context: Context, result: Any) -> None:
    """Masks the warnings of a command's report."""
    warnings = getattr(result, "warnings", None)
    if context.sensitive and isinstance(warnings, list):
        warnings[:] = map(context.sensitive.of_text, warnings)


def hiding_keys(context: Context, texts: Iterable[str]) -> AbstractContextManager[None]:
    """Within, no error shows what stands in the keys of a command line, where one of their columns
    is sensitive: which part of a text that is no key is the value, nobody knows.
    """
    columns = context.pipeline.source.key
    if not context.sensitive.among(columns):
        return hiding(HiddenWords())
    parts = {part.strip() for text in texts for part in (text, *re.split(r'[,="]', text))}
    return hiding(value_words(parts - set(columns)))


def told_key(context: Context, text: str) -> str:
    """A key of a command line as messages show it."""
    return HIDDEN if context.sensitive.among(context.pipeline.source.key) else text
