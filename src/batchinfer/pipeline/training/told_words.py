"""What whoever registers a model says of missing values: `--missing COLUMN=WORD`.

Owns what such a word means, by the column's type and by what the model is fed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from batchinfer.config.suggestions import among
from batchinfer.errors import ConfigError

if TYPE_CHECKING:
    from batchinfer.models.elsewhere.feeds import Feeds
    from batchinfer.models.elsewhere.missing_word import MissingWord

_BOOLEANS = {"true": True, "false": False}


def with_told_words(
    feeds: Feeds,
    missing: Mapping[str, str],
    fields: Mapping[str, pa.DataType],
    known: Mapping[str, Collection[str]],
) -> Feeds:
    """The feeds with the words for missing values that were said; these go before found ones.

    Args:
        fields: Arrow types of the landed columns.
        known: of a column the texts that the model knows.

    Raises:
        ConfigError: a column that the model is not fed, or a word that cannot stand in it.
    """
    if not missing:
        return feeds
    fed = [name for feed in feeds.feeds for name in feed.get("columns", ())]
    unknown = [f"--missing: {among(name, fed)}" for name in missing if name not in fed]
    if unknown:
        raise ConfigError(unknown)
    changed: list[dict[str, Any]] = []
    for feed in feeds.feeds:
        own = {
            name: _word(name, said, fields[name], feed["type"], known.get(name, ())).to_json()
            for name, said in missing.items()
            if name in feed.get("columns", ())
        }
        changed.append({**feed, "words": {**feed.get("words", {}), **own}} if own else feed)
    return replace(feeds, feeds=changed)


def _word(
    name: str, said: str, type_: pa.DataType, feed: str, known: Collection[str]
) -> MissingWord:
    from batchinfer.models.elsewhere.feeds import is_number
    from batchinfer.models.elsewhere.missing_word import MissingWord

    is_number_here = is_number(type_) and not pa.types.is_boolean(type_)
    if len(said) > 1 and said[0] == said[-1] and said[0] in "'\"" and not is_number_here:
        return MissingWord("value", said[1:-1])
    if said in ("none", "nan"):
        _check_meant(name, said, feed, known)
        return MissingWord("none" if said == "none" else "nan")
    if pa.types.is_boolean(type_):
        return MissingWord("value", _BOOLEANS.get(said.lower(), said))
    if not is_number_here:
        return MissingWord("value", said)
    try:
        number = float(said)
    except ValueError as error:
        raise ConfigError(
            f"--missing {name}: got {said!r} for a column of {type_}; allowed: none, nan, or a "
            "number"
        ) from error
    return MissingWord("value", int(number) if number.is_integer() else number)


def _check_meant(name: str, said: str, feed: str, known: Collection[str]) -> None:
    """Refuses `none` and `nan` where the text of four or three letters must be meant, or where
    there is nothing else than text.
    """
    meaning = {"none": "Python's None", "nan": "not-a-number"}[said]
    hint = f"the text is said in quotes: --missing \"{name}='{said}'\""
    if feed == "string":
        raise ConfigError(
            f"--missing {name}: got {said}, which means {meaning}; allowed: a text, since the "
            "model's input holds nothing else",
            hint,
        )
    if said in known:
        raise ConfigError(
            f"--missing {name}: got {said}, which means {meaning}; the model knows the text "
            f"{said!r} in this column",
            hint,
        )
