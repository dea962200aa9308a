"""Keys of questions: their columns and values held against those of a table, every fault told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from batchinfer.lookups.fallback_chain import ATTRIBUTE, FallbackChain, is_attribute
from batchinfer.lookups.key_values import UnfitKeys, compare_names, convert_keys
from batchinfer.lookups.stores.stored_rows import stored_key
from batchinfer.service.problem_documents import HttpProblem, wrong_entry

if TYPE_CHECKING:
    import pyarrow as pa

Key = Mapping[str, Any]


def split_questions(
    questions: Sequence[Key], columns: Sequence[str], chain: FallbackChain | None, listed: bool
) -> tuple[Sequence[Key], Sequence[Mapping[str, Any]]]:
    """The keys of some questions, and what they say beside them.

    Args:
        listed: they come as a list, so what is wrong with one is told with its place.

    Raises:
        HttpProblem: 422: an attribute that is no text, number, true or false.
    """
    own = chain.attributes - set(columns) if chain is not None else frozenset[str]()
    if not own:
        return list(questions), [{}] * len(questions)
    keys = [{name: one[name] for name in one if name not in own} for one in questions]
    beside = [{name: one[name] for name in one if name in own} for one in questions]
    errors = [
        wrong_entry(_place(number, name, listed), value, ATTRIBUTE)
        for number, one in enumerate(beside)
        for name, value in one.items()
        if not is_attribute(value)
    ]
    if errors:
        detail = f"{errors[0]['name']}: got {errors[0]['got']}; allowed: {errors[0]['allowed']}"
        raise HttpProblem(422, "wrong-attribute", detail, errors)
    return keys, beside


def check_names(
    keys: Sequence[Key], columns: Sequence[str], chain: FallbackChain | None, listed: bool
) -> None:
    """Refuses columns that are not the key's, and keys that lack some; every one of them at once.

    Raises:
        HttpProblem: 400.
    """
    wanted = set(columns)
    allowed = ", ".join(columns)
    beside = sorted(chain.attributes - wanted) if chain is not None else []
    also = f"; of fallbacks: {', '.join(beside)}" if beside else ""
    errors: list[dict[str, str]] = []
    first = ""
    for number, key in enumerate(keys):
        if set(key) == wanted:
            continue
        first = first or compare_names(list(key), columns)[0] + also
        errors += [
            wrong_entry(_place(number, name, listed), key[name], f"key columns: {allowed}{also}")
            for name in key
            if name not in wanted
        ]
        errors += [
            {"name": _place(number, name, listed), "got": "nothing", "allowed": "a value"}
            for name in columns
            if name not in key
        ]
    if errors:
        raise HttpProblem(400, "wrong-parameters", first, errors)


def stored_keys_of(
    keys: Sequence[Key], types: Mapping[str, pa.DataType], listed: bool
) -> list[bytes]:
    """The keys as they lie in a store.

    Raises:
        HttpProblem: 422: values that are not of the columns' types; every one of them.
    """
    try:
        return [stored_key(values) for values in convert_keys(keys, types)]
    except UnfitKeys as error:
        raise wrong_keys(error, keys, listed) from None


def wrong_keys(error: UnfitKeys, keys: Sequence[Key], listed: bool) -> HttpProblem:
    """422 of keys that do not fit the columns; every value that is wrong."""
    errors = [
        wrong_entry(
            _place(number, name, listed),
            keys[number].get(name),
            problem.rpartition("; allowed: ")[2],
        )
        for number, name, problem in error.wrong
    ]
    return HttpProblem(422, "wrong-key", error.problems[0], errors)


def _place(number: int, name: str, listed: bool) -> str:
    return f"keys[{number}].{name}" if listed else name
