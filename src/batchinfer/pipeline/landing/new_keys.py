"""Keys of JSON records that nobody declared: whether they end the run, land, or are told of.

Owns `source.columns.new` of JSON. Which keys a task found is told by `sources.json.unknown_keys`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchinfer.config.sources import HttpSource, JsonSource
from batchinfer.config.types import spark_name
from batchinfer.errors import InputError, listed_some
from batchinfer.pipeline.landing.increment import Landing
from batchinfer.pipeline.landing.landing_task import KeySearch, LandingResult, look_for_keys
from batchinfer.sources.json.unknown_keys import KeyKinds
from batchinfer.sources.source_splits import TextSplit
from batchinfer.spark.capacity import workers
from batchinfer.spark.tasks import OpenWorkplace, Work, run_tasks

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.sources.source_splits import SourceSplit

_SHOWN_KEYS = 10
# More keys than a table should get in one go: they are data.
_MOST_ADDED = 1_000
_HINT = (
    "name the key in source.schema; or leave such keys out with source.columns: {new: ignore}, "
    "keep them in one column with {rescue: true}, or let them land with {new: add} (--set "
    "source.columns.new=ignore)"
)


@dataclass(frozen=True)
class JsonColumns:
    """Columns that JSON lands, and what is to be told of other keys."""

    fields: Mapping[str, pa.DataType]
    notes: Sequence[str]


def check_new_keys(landing: Landing, results: Iterable[LandingResult]) -> list[str]:
    """What is to be told of keys that no column reads.

    Args:
        results: of the tasks.

    Runs on: driver.

    Raises:
        InputError: with `fail`, the keys of every file that has some.
    """
    source = landing.source
    if not isinstance(source, JsonSource | HttpSource):
        return []
    files: dict[str, set[str]] = {}
    for result in results:
        for file, paths in result.new_keys.items():
            files.setdefault(file, set()).update(paths)
    if source.columns.new == "fail" and files:
        raise InputError(
            listed_some(
                [
                    f"{file}: it has keys that source.schema does not name: {_some(paths)}"
                    for file, paths in sorted(files.items())
                ]
            ),
            _HINT,
        )
    keys = {path for paths in files.values() for path in paths}
    if not keys:
        return []
    return [
        f"keys that source.schema does not name are left out, such as {_some(keys)}; "
        "source.columns: {new: ignore} does so without a word, {new: add} lands them"
    ]


def find_json_columns(
    source: JsonSource,
    splits: Sequence[SourceSplit],
    fields: Mapping[str, pa.DataType],
    landed: Mapping[str, pa.DataType],
    open_workplace: OpenWorkplace,
) -> JsonColumns:
    """The columns that JSON lands: those declared, and with `new: add` those that have landed
    before, and those that keys of the records become. For these, the records are read once more.

    Args:
        splits: counted and aligned, where there is something to add.
        fields: the declared columns.
        landed: those of the landed table.

    Runs on: driver; the search on executors, or here.

    Raises:
        InputError: names that Delta cannot store, or that differ from another one in case only;
            more keys than a table should have.
    """
    from batchinfer.sources.file_columns import NewColumn, added_columns
    from batchinfer.sources.text.byte_ranges import group_splits

    if source.columns.new != "add":
        return JsonColumns(fields, ())
    known = {**fields, **{name: type_ for name, type_ in landed.items() if name not in fields}}
    if not splits:
        return JsonColumns(known, ())
    workplace = open_workplace()
    types_known = {name: spark_name(type_) for name, type_ in known.items()}
    tasks = [
        KeySearch(source, types_known, tuple(group))
        for group in group_splits(
            [split for split in splits if isinstance(split, TextSplit)], workers(workplace)
        )
    ]
    found, work = KeyKinds(), Work(look_for_keys, KeySearch, KeyKinds)
    for [result] in run_tasks(workplace, work, tasks, "looking for new keys"):
        found.add(result)
    types = found.types()
    if len(types) > _MOST_ADDED:
        raise InputError(
            f"{found.files[next(iter(types))]}: {len(types):,} keys are new, such as "
            f"{_some(types)}; allowed with source.columns: {{new: add}}: {_MOST_ADDED:,}",
            "keys that are data are read by a column of type map<string, …>",
        )
    new = [NewColumn(found.files[key], key, type_) for key, type_ in types.items()]
    added = added_columns(new, known, landed, path=True)
    return JsonColumns({**known, **added}, _inside_notes(found.inside))


def _inside_notes(paths: Iterable[str]) -> list[str]:
    found = sorted(paths)
    if not found:
        return []
    return [
        f"keys inside of others are left out, such as {_some(found)}; source.columns: {{new: add}} "
        "adds those of the record itself; name the others in source.schema, or keep all that no "
        "column reads with {rescue: true} in place of it"
    ]


def _some(keys: Iterable[str]) -> str:
    """The first keys, and how many more there are."""
    names = sorted(keys)
    more = len(names) - _SHOWN_KEYS
    shown = ", ".join(name if len(name) <= 60 else f"{name[:60]}…" for name in names[:_SHOWN_KEYS])
    return f"{shown} and {more:,} more" if more > 0 else shown
