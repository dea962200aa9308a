"""Served rows in a store: the newest of each key, only what has changed, old or new and nothing in
between.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from batchinfer.command_reports import LoadReport
from batchinfer.contracts import KEY_PROPERTY
from batchinfer.errors import ConfigError, InputMissing, SliceHeld, StorageError
from batchinfer.lake.delta import ensure_table
from batchinfer.lake.leases import hold
from batchinfer.lookups.key_values import convert_key
from batchinfer.lookups.stores.embedded_store import EmbeddedStore
from batchinfer.lookups.stores.generation import Layer, Pointer
from batchinfer.lookups.stores.stored_rows import GONE, stored_key
from batchinfer.lookups.tables import lookup_rows
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.load import load_stores

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

UTC = dt.timezone.utc
PIPELINE = """\
name: visits
source:
  kind: csv
  path: in/*.csv
  schema: {shop: string, visit: long, day: date, size: double}
  key: [shop, visit]
  slice: {column: day, unit: day}
"""
FIRST, SECOND, THIRD = "2026-11-20", "2026-11-21", "2026-11-22"


def visits(slice_: str, numbers: range, score: float, served: bool = True) -> pa.Table:
    return pa.table(
        {
            "shop": [f"shop, {{{n % 3}}}" for n in numbers],
            "visit": pa.array(list(numbers), pa.int64()),
            "slice": [slice_] * len(numbers),
            "score": [None if n == 5 else score + n for n in numbers],
            "label": [f'say "{n}"' for n in numbers],
            "scores": pa.array([[("a", score)]] * len(numbers), pa.map_(pa.string(), pa.float64())),
            "served": [served] * len(numbers),
            "scored_at": pa.array([dt.datetime(2026, 11, 21, 2, 15, tzinfo=UTC)] * len(numbers)),
        }
    )


@dataclass
class Shop:
    """A project whose predictions are written by the test."""

    root: Path
    open_session: Callable[[], Any]

    @property
    def table(self) -> str:
        return str(self.root / "var/lake/predictions/visits")

    @property
    def store(self) -> EmbeddedStore:
        return EmbeddedStore(str(self.root / "var/online/visits"))

    @property
    def pointer(self) -> Pointer:
        pointer = self.store.pointer()
        assert pointer is not None
        return pointer

    def context(self) -> Context:
        return Context.open(str(self.root / "conf/pipelines/visits.yaml"), "local")

    def publish(self, slice_: str, rows: pa.Table | None) -> None:
        """The rows of a slice in place of those it has; None: the slice goes."""
        if rows is None:
            DeltaTable(self.table).delete(f"slice = '{slice_}'")
            return
        ensure_table(self.table, rows.schema, ["slice"], configuration={KEY_PROPERTY: "shop,visit"})
        write_deltalake(self.table, rows, mode="overwrite", predicate=f"slice = '{slice_}'")

    def load(self, **options: Any) -> LoadReport:
        return load_stores(self.context(), self.open_session, **options)

    def stored(self, *visits: int) -> list[Any]:
        """The rows of visits as the store has them now."""
        current = self.pointer.current
        found = self.store.read(current, [self._key(visit) for visit in visits])
        return [None if value is None else json.loads(value) for value in found]

    def scores(self, *visits: int) -> list[Any]:
        return [None if row is None else row["score"] for row in self.stored(*visits)]

    def _key(self, visit: int) -> bytes:
        key = {"shop": f"shop, {{{visit % 3}}}", "visit": str(visit)}
        return stored_key(convert_key(key, self.pointer.current.key_types))


@pytest.fixture
def shop(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    (tmp_path / "conf/pipelines").mkdir(parents=True)
    (tmp_path / "conf/pipelines/visits.yaml").write_text(PIPELINE)
    return Shop(tmp_path, lambda: spark)


def test_the_newest_row_of_each_key_is_what_a_lookup_tells(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(40), 100.0))
    shop.publish(SECOND, visits(SECOND, range(20, 60), 200.0))
    shop.publish(THIRD, visits(THIRD, range(50, 55), 300.0, served=False))
    report = shop.load(verify=True)
    (store,) = report.stores
    assert (report.status, report.rows, report.slice) == ("loaded", 60, THIRD)
    assert (store.rows_written, store.rows_verified, store.layers) == (60, 60, 1)
    keys = [{"shop": f"shop, {{{n % 3}}}", "visit": n} for n in range(60)]
    assert shop.stored(*range(60)) == lookup_rows(shop.table, keys)
    assert shop.scores(5, 10, 30, 52) == [None, 110.0, 230.0, 252.0]
    assert shop.stored(999) == [None]


def test_a_load_takes_the_place_of_streamed_rows(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(400), 100.0))
    shop.load()
    version = shop.pointer.current.version
    # A stream publishes rows, and writes them into the store.
    shop.publish(SECOND, visits(SECOND, range(395, 405), 200.0))
    rows = list(shop_rows(shop, range(395, 405)))
    keys, values = [key for key, _ in rows], [value for _, value in rows]
    shop.store.upsert(version + 1, [(keys, values)])
    assert shop.scores(394, 395, 404) == [494.0, 595.0, 604.0]
    (told,) = shop.load(verify=True).stores
    # They are no reason to leave a row out: they do not stay above the generation.
    assert (told.rows_written, told.rows, told.rows_streamed) == (10, 405, 0)
    assert shop.pointer.current.streamed == ()
    assert shop.scores(394, 395, 404) == [494.0, 595.0, 604.0]
    shop.store.upsert(version + 2, [(keys[:2], [b'{"score":-1.0}', GONE])])
    (told,) = shop.load(verify=True).stores
    assert (told.status, told.rows_verified, told.rows_streamed) == ("unchanged", 405, 2)
    assert shop.scores(394, 395) == [494.0, -1.0]
    assert shop.stored(396) == [None]
    shop.load(rollback=True, verify=True)
    assert shop.scores(394, 395, 397, 404) == [494.0, -1.0, 597.0, 604.0]


def test_rows_streamed_into_a_table_that_was_made_anew(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(40), 100.0))
    shop.load()
    ((key, _),) = shop_rows(shop, range(7, 8))
    shop.store.upsert(50, [([key], [b'{"score":-1.0}'])])
    shutil.rmtree(shop.table)
    shop.publish(FIRST, visits(FIRST, range(40), 200.0))
    shop.load(verify=True)
    assert shop.scores(7) == [207.0]


def shop_rows(shop: Shop, numbers: range) -> Iterator[tuple[bytes, bytes]]:
    """Rows of the table as they are stored."""
    keys = [{"shop": f"shop, {{{n % 3}}}", "visit": n} for n in numbers]
    for key, row in zip(keys, lookup_rows(shop.table, keys), strict=True):
        yield stored_key(list(key.values())), json.dumps(row).encode()


def test_only_rows_that_have_changed_are_written_the_next_time(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(400), 100.0))
    shop.load()
    shop.publish(SECOND, visits(SECOND, range(395, 405), 200.0))
    report = shop.load(verify=True)
    (store,) = report.stores
    assert (store.rows_written, store.rows, store.layers) == (10, 405, 2), store.way
    assert shop.scores(394, 395, 404) == [494.0, 595.0, 604.0]
    # The slice is published anew, and one of its rows is another.
    again = visits(SECOND, range(395, 405), 200.0).to_pylist()
    again[0]["score"] = -1.0
    shop.publish(SECOND, pa.Table.from_pylist(again, visits(SECOND, range(1), 0.0).schema))
    (store,) = shop.load(verify=True).stores
    assert (store.rows_written, store.rows, store.layers) == (1, 405, 3), store.way
    assert shop.scores(395, 396) == [-1.0, 596.0]


def test_a_slice_that_was_published_as_it_was_costs_no_layer(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(400), 100.0))
    shop.publish(SECOND, visits(SECOND, range(3), 200.0))
    first = shop.load()
    shop.publish(SECOND, visits(SECOND, range(3), 200.0))
    again = shop.load(verify=True)
    (store,) = again.stores
    assert (again.status, store.rows_written, store.layers) == ("loaded", 0, 1), store.way
    assert again.generation != first.generation and again.rows == 400


def test_rows_that_a_table_has_no_more_are_found_no_more(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(400), 100.0))
    shop.publish(SECOND, visits(SECOND, range(395, 405), 200.0))
    shop.load()
    shop.publish(SECOND, None)
    (store,) = shop.load(verify=True).stores
    assert (store.rows, store.layers) == (400, 2), store.way
    assert shop.scores(394, 395, 404) == [494.0, 495.0, None]


def test_a_row_of_the_slice_without_a_name_is_not_taken_for_gone(shop: Shop) -> None:
    nameless = visits("", range(400), 100.0)
    ensure_table(shop.table, nameless.schema, ["slice"], configuration={KEY_PROPERTY: "shop,visit"})
    nulls = nameless.set_column(2, "slice", pa.nulls(400, pa.string()))
    write_deltalake(shop.table, nulls, mode="append")
    shop.load()
    shop.publish(SECOND, visits(SECOND, range(5), 200.0))
    shop.load()
    shop.publish(SECOND, None)
    (store,) = shop.load(verify=True).stores
    assert (store.rows, store.layers) == (400, 3), store.way
    assert shop.scores(1, 399) == [101.0, 499.0]


def test_a_table_that_has_not_changed_is_not_read(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(4), 100.0))
    first = shop.load()

    def no_session() -> Any:
        raise AssertionError("nothing had to be read")

    again = load_stores(shop.context(), no_session)
    assert (again.status, again.generation, again.rows) == ("unchanged", first.generation, 4)


def test_full_writes_all_rows_and_a_way_back_stays(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(40), 100.0))
    first = shop.load()
    shop.publish(FIRST, visits(FIRST, range(40), 500.0))
    second = shop.load(full=True)
    assert (second.rows, second.stores[0].rows_written, second.stores[0].layers) == (40, 40, 1)
    assert shop.scores(1) == [501.0]
    back = shop.load(rollback=True)
    assert (back.status, back.generation) == ("rolled_back", first.generation)
    assert shop.scores(1) == [101.0]
    assert shop.load(rollback=True).generation == second.generation
    assert shop.scores(1) == [501.0]


def test_there_is_no_way_back_from_the_first_generation(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(4), 100.0))
    with pytest.raises(InputMissing, match="nothing was loaded yet"):
        shop.load(rollback=True)
    shop.load()
    with pytest.raises(InputMissing, match="no generation before"):
        shop.load(rollback=True)
    with pytest.raises(ConfigError, match="--rollback with"):
        shop.load(rollback=True, full=True)


def test_slices_after_the_one_asked_for_do_not_count(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(40), 100.0))
    shop.publish(SECOND, visits(SECOND, range(20, 60), 200.0))
    report = shop.load(slice_=FIRST, verify=True)
    assert (report.rows, report.slice) == (40, FIRST)
    assert shop.scores(30, 50) == [130.0, None]
    report = shop.load(verify=True)
    assert (report.status, report.rows, report.slice) == ("loaded", 60, SECOND)
    with pytest.raises(InputMissing, match="no slice up to 2026-11-01"):
        shop.load(slice_="2026-11-01")


def test_a_load_that_dies_before_the_switch_changes_nothing_for_readers(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish(FIRST, visits(FIRST, range(40), 100.0))
    shop.load()
    before = shop.pointer
    shop.publish(FIRST, visits(FIRST, range(40), 500.0))

    def die(self: EmbeddedStore, new: Pointer, expected: Pointer | None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedStore, "switch", die)
        with pytest.raises(KeyboardInterrupt):
            shop.load()
    assert shop.pointer == before and shop.scores(1) == [101.0]
    assert len(shop.store.layers()) == 2, "what was written lies there"
    shop.load(verify=True)
    assert shop.scores(1) == [501.0]
    kept = {layer.name for one in shop.pointer.generations for layer in one.layers}
    assert shop.store.layers() == kept, "and was swept"


def test_two_loads_of_one_store_at_once_are_refused(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(4), 100.0))
    context = shop.context()
    lake = context.environment.lake
    with (
        hold(lake, "visits.embedded", None, "other"),
        pytest.raises(SliceHeld, match="store embedded of pipeline visits is held by run other"),
    ):
        shop.load()
    assert shop.load().status == "loaded"


def test_verify_tells_the_first_row_that_differs(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(40), 100.0))
    shop.load()
    store, before = shop.store, shop.pointer
    key = shop._key(7)
    store.begin("forged", 1)
    part = store.write_part("forged", 0, [([key], [b'{"score":0}'])])
    forged = replace(before.current, layers=(Layer("forged", (part,)), *before.current.layers))
    store.switch(Pointer(forged), before)
    with pytest.raises(StorageError, match=r"1 of 40 rows differ.*shop%2C.*the store {.score.:0}"):
        shop.load(verify=True)
    # A row too many is told as well.
    store.begin("more", 1)
    part = store.write_part("more", 0, [([b"of no row"], [b"{}"])])
    more = replace(before.current, layers=(Layer("more", (part,)), *before.current.layers), rows=41)
    store.switch(Pointer(more), Pointer(forged))
    with pytest.raises(StorageError, match="the table has 40 keys, the generation 41"):
        shop.load(verify=True)


def test_eight_layers_are_folded_into_one(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(400), 100.0))
    shop.load()
    layers = []
    for number in range(8):
        shop.publish(SECOND, visits(SECOND, range(3), 200.0 + number))
        layers.append(shop.load().stores[0].layers)
    assert layers == [2, 3, 4, 5, 6, 7, 8, 1]
    assert shop.scores(1, 5, 6) == [208.0, None, 106.0]
    assert shop.load(verify=True).rows == 400


def test_new_columns_of_a_table_are_in_every_row(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(400), 100.0))
    shop.load()
    rows = visits(SECOND, range(2), 200.0)
    wider = rows.append_column("note", pa.array(["x", "y"]))
    write_deltalake(shop.table, wider, mode="append", schema_mode="merge")
    (store,) = shop.load(verify=True).stores
    assert store.layers == 1 and "its columns" in store.way
    assert [row["note"] for row in shop.stored(1, 300)] == ["y", None]


def test_nothing_published_names_the_command_that_publishes(shop: Shop) -> None:
    with pytest.raises(InputMissing, match="no predictions of pipeline visits") as told:
        shop.load()
    assert "batchinfer score" in str(told.value.hint)


def test_a_store_that_the_pipeline_does_not_name_is_refused(shop: Shop) -> None:
    shop.publish(FIRST, visits(FIRST, range(4), 100.0))
    with pytest.raises(ConfigError, match=r"--to: got redis.*allowed: embedded"):
        shop.load(to="redis")
