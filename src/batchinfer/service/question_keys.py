"""Keys of questions: their columns and values held against those of a table, every fault told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from batchinfer.errors import InputError
from batchinfer.lookups.fallback_chain import FallbackChain
from batchinfer.lookups.key_values import compare_names, convert_value
from batchinfer.lookups.stores.stored_rows import stored_key
from batchinfer.service.problem_documents import HttpProblem, wrong_entry

if TYPE_CHECKING:
    import pyarrow as pa

Key = Mapping[str, Any]


def split_questions(
    questions: Sequence[Key], columns: Sequence[str], chain: FallbackChain | None
) -> tuple[Sequence[Key], Sequence[Mapping[str, Any]]]:
    """The keys of some questions, and what they say beside them.

    Raises:
        HttpProblem: 422: an attribute that is no text, number, true or false.
    """
    own = chain.attributes - set(columns) if chain is not None else frozenset[str]()
    if not own:
        return list(questions), [{}] * len(questions)
    keys = [{name: one[name] for name in one if name not in own} for one in questions]
    beside = [{name: one[name] for name in one if name in own} for one in questions]
    errors = [
        wrong_entry(name, value, "text, a number, or true and false")
        for one in beside
        for name, value in one.items()
        if not isinstance(value, str | int | float)
    ]
    if errors:
        detail = f"{errors[0]['name']}: got {errors[0]['got']}; allowed: {errors[0]['allowed']}"
        raise HttpProblem(422, "wrong-attribute", detail, errors)
    return keys, beside


def check_names(
    keys: Sequence[Key], columns: Sequence[str], chain: FallbackChain | None = None
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
        place = "" if len(keys) == 1 else f"keys[{number}]."
        first = first or compare_names(list(key), columns)[0] + also
        errors += [
            wrong_entry(place + name, key[name], f"key columns: {allowed}{also}")
            for name in key
            if name not in wanted
        ]
        errors += [
            {"name": place + name, "got": "nothing", "allowed": "a value"}
            for name in columns
            if name not in key
        ]
    if errors:
        raise HttpProblem(400, "wrong-parameters", first, errors)


def stored_keys_of(keys: Sequence[Key], types: Mapping[str, pa.DataType]) -> list[bytes]:
    """The keys as they lie in a store.

    Raises:
        HttpProblem: 422: values that are not of the columns' types; every one of them.
    """
    stored: list[bytes] = []
    errors: list[dict[str, str]] = []
    first = ""
    for number, key in enumerate(keys):
        values: list[Any] = []
        for name, type_ in types.items():
            try:
                values.append(convert_value(name, key[name], type_))
            except InputError as error:
                first = first or str(error)
                place = name if len(keys) == 1 else f"keys[{number}].{name}"
                allowed = str(error).rpartition("; allowed: ")[2]
                errors.append(wrong_entry(place, key[name], allowed))
        if not errors:
            stored.append(stored_key(values))
    if errors:
        raise HttpProblem(422, "wrong-key", first, errors)
    return stored
