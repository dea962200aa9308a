"""What models of trees are fed: columns by the names that the model has for its features,
categories held against the values that there were in training.

Owns the choice at registration (what stands in a feed) and its use on rows. Knows no library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute

from batchinfer.config.suggestions import did_you_mean, listed
from batchinfer.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from batchinfer.models.formats.boosting.boosted import TreeInputs

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

Unseen = Literal["own", "null", "fail"]
_SHOWN = 5


def spare_names(takes: TreeInputs, fields: Mapping[str, pa.DataType]) -> tuple[str, ...]:
    """The names that a library gives to the columns of an array, where all of them have landed:
    their order is then the one that counts.
    """
    there = bool(takes.spare) and all(name in fields for name in takes.spare)
    return takes.spare if there else ()


def tree_feed(
    feed: Mapping[str, Any], takes: TreeInputs, fields: Mapping[str, pa.DataType]
) -> dict[str, Any]:
    """A feed of landed columns with what trees ask of them.

    Runs on: driver.

    Raises:
        ModelError: a category of another kind than in training, or a feature that is no number.
    """
    told: dict[str, Any] = {"finite": takes.finite}
    if feed["type"] != "frame":
        return {**feed, **told}
    problems = [
        f"the feature {name} is {_expected(name, takes)} to the model; the landed column "
        f"of that name is {fields[name]}"
        for name in feed["columns"]
        if not _fits(fields[name], name, takes)
    ]
    if problems:
        raise ModelError(problems, "change the column's type in the pipeline file's schema")
    return {**feed, **told, "numbers": takes.type, "categories": list(takes.categories)} | (
        {"texts": list(takes.texts)} if takes.texts else {}
    )


def _expected(name: str, takes: TreeInputs) -> str:
    if name in takes.texts:
        return "a category (text or whole numbers)"
    known = takes.categories.get(name)
    if known is None:
        return "a number"
    return f"a category ({listed(map(str, known[:_SHOWN]))}{', …' if len(known) > _SHOWN else ''})"


def _fits(landed: pa.DataType, name: str, takes: TreeInputs) -> bool:
    is_, known = pa.types, takes.categories.get(name)
    if name in takes.texts:
        return is_.is_string(landed) or is_.is_large_string(landed) or is_.is_integer(landed)
    is_number = is_.is_integer(landed) or is_.is_floating(landed) or is_.is_decimal(landed)
    if known is None:
        return is_number or is_.is_boolean(landed)
    if all(isinstance(one, str) for one in known):
        return is_.is_string(landed) or is_.is_large_string(landed)
    if all(isinstance(one, bool) for one in known):
        return is_.is_boolean(landed)
    return is_number


def with_unseen(
    feeds: list[dict[str, Any]], takes: TreeInputs | None, unseen: Unseen
) -> list[dict[str, Any]]:
    """Feeds that treat categories that were not there in training as the pipeline file says.

    Runs on: driver.

    Raises:
        ConfigError: the model's file lists no categories that rows could be held against.
    """
    if unseen == "own":
        return feeds
    known = {} if takes is None else takes.categories
    if not known or any("tensor" in feed for feed in feeds):
        raise ConfigError(
            f"model.unseen: got {unseen}, and the model lists no categories of landed columns; "
            "allowed: own"
        )
    stored = {name: list(values) for name, values in known.items()}
    return [{**feed, "known": stored, "unseen": unseen} for feed in feeds]


def with_missing_number(
    feeds: list[dict[str, Any]], takes: TreeInputs | None, number: float | None
) -> list[dict[str, Any]]:
    """Feeds in which a number stands for a missing one, as the pipeline file says.

    Runs on: driver.

    Raises:
        ConfigError: the model is none of trees that take nothing but numbers of landed columns.
    """
    if number is None:
        return feeds
    if takes is None or takes.categories or takes.texts or any("tensor" in feed for feed in feeds):
        raise ConfigError(
            f"model.missing: got {number:g}, which is for boosted trees that are fed landed "
            "columns of numbers alone; allowed: leave it out"
        )
    return [{**feed, "missing_number": number} for feed in feeds]


def check_feature_names(names: Sequence[str], made: Sequence[str]) -> None:
    """Refuses a matrix of the pipeline's features whose names are not the model's, in its order: it
    would be read by position.

    Raises:
        ModelError: other names, or another order.
    """
    if list(names) == list(made):
        return
    # One more for the list that ends first.
    pairs = list(zip((*names, "none"), (*made, "none"), strict=False))
    place = next(at for at, (own, there) in enumerate(pairs) if own != there)
    own, there = pairs[place]
    raise ModelError(
        f"feature {place} is {own!r} to the model and {there!r} among the pipeline's "
        f"features{did_you_mean(own, made)}; the features are: {listed(made)}; allowed: the "
        "model's own names in its order"
    )


def fitting_columns(
    columns: Mapping[str, pa.Array], feed: Mapping[str, Any]
) -> tuple[dict[str, pa.Array], dict[int, str]]:
    """The columns of a frame as trees take them, numbers in the model's type; and the rows that the
    model cannot be asked about.

    Runs on: executor, CPU.
    """
    made: dict[str, pa.Array] = {}
    unfit: dict[int, str] = {}
    known = feed.get("known", {})
    for name, column in columns.items():
        if name in feed.get("texts", ()):
            made[name] = _texts(column, feed.get("words", {}).get(name))
        elif name not in feed["categories"]:
            values = as_numbers(column, np.dtype(feed["numbers"]))
            if feed["finite"]:
                unfit |= infinite_rows(values[:, None], [name])
            made[name] = pa.array(values)
        elif name in known:
            made[name], told = _known_only(column, known[name], name, feed["unseen"])
            unfit |= told
        else:
            made[name] = column
    return made, unfit


def _texts(column: pa.Array, word: Mapping[str, Any] | None) -> pa.Array:
    """A category as text; a missing one is the word for it, as Python writes None and NaN."""
    texts = column.cast(pa.string())
    if word is None:
        return texts
    text = {"nan": "nan", "none": "None"}.get(word["kind"], str(word.get("value")))
    return texts.fill_null(text)


def as_numbers(column: pa.Array, type_: np.dtype[Any]) -> np.ndarray:
    """(rows,) of a type of fractions; a missing number is NaN, one past the type's range infinity.

    Runs on: executor, CPU.
    """
    plain = pa.types.is_decimal(column.type) or pa.types.is_boolean(column.type)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    column = column.cast(pa.float64()) if plain else column
    with np.errstate(over="ignore"):
        return column.to_numpy(zero_copy_only=False).astype(type_)


def infinite_rows(values: np.ndarray, names: Sequence[str]) -> dict[int, str]:
    """Rows of (rows, columns) that hold an infinity, each with the reason.

    Runs on: executor, CPU.
    """
    infinite = np.isinf(values)
    if not infinite.any():
        return {}
    rows, places = np.nonzero(infinite)
    return {
        row: f"column {names[place] if len(names) == values.shape[1] else place}: infinity, or a "
        f"number too large for {values.dtype}, in which the model compares"
        for row, place in zip(rows.tolist(), places.tolist(), strict=True)
    }


def _known_only(
    column: pa.Array, known: Sequence[Any], name: str, unseen: Unseen
) -> tuple[pa.Array, dict[int, str]]:
    values = pa.array(known)
    values = values if pa.types.is_string(values.type) else values.cast(column.type)
    strange = pc.and_(pc.invert(pc.is_in(column, value_set=values)), column.is_valid())
    if unseen == "null":
        return pc.if_else(strange, pa.scalar(None, column.type), column), {}
    rows = np.flatnonzero(strange.to_numpy(zero_copy_only=False)).tolist()
    return column, {
        row: f"column {name}: got {column[row].as_py()!r}, which was not among the "
        f"{len(known)} categories of the training"
        for row in rows
    }
