"""Answers for keys without a fresh prediction: computed where predictions are published, asked for
by attributes or found by the key's own features.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from spark.projects import SmallProject

from batchinfer.contracts import KEY_PROPERTY
from batchinfer.errors import ConfigError, InputMissing
from batchinfer.lake.delta import ensure_table
from batchinfer.lake.snapshots import table_version
from batchinfer.lookups.tables import lookup_rows
from batchinfer.pipeline.answering import fallback_answers
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.fallbacks.fallback_table import made_from
from batchinfer.pipeline.fallbacks.level_queries import check_levels
from batchinfer.pipeline.fallbacks.settled_fallbacks import settle_fallbacks
from batchinfer.pipeline.load import load_stores
from batchinfer.pipeline.lookup import LookupAnswer, answer_lookup
from batchinfer.pipeline.plan import plan_slice

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PIPELINE = """\
name: buys
source:
  kind: csv
  path: in/*.csv
  schema: {customer: long, region: string, age: int}
  key: customer
  slice: ingest_date
fallback:
  max_age: 7d
  levels:
    - name: region
      by: [region]
      sql: >
        select region, round(avg(score), 2) as score, count(*) as customers
        from predictions join features using (customer) group by region
    - {name: everybody, sql: "select round(avg(score), 2) as score from predictions"}
"""
DAY = "2026-11-21"


@dataclass
class Buys:
    """A project with landed customers and predictions of some, written by the test."""

    root: Path
    open_session: Callable[[], Any]

    def context(self, *overrides: str) -> Context:
        return Context.open(str(self.root / "conf/pipelines/buys.yaml"), "local", overrides)

    def edit(self, old: str, new: str) -> None:
        path = self.root / "conf/pipelines/buys.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def write(self, kind: str, rows: pa.Table, slice_: str = DAY) -> None:
        place = str(self.root / f"var/lake/{kind}/buys")
        rows = rows.append_column("slice", pa.array([slice_] * rows.num_rows))
        ensure_table(place, rows.schema, ["slice"], configuration={KEY_PROPERTY: "customer"})
        write_deltalake(place, rows, mode="overwrite", predicate=f"slice = '{slice_}'")

    def settle(self) -> list[str]:
        return settle_fallbacks(self.context(), self.open_session)

    def check(self) -> None:
        """As a run does before it scores."""
        context = self.context()
        assert context.pipeline.fallback is not None
        check_levels(context, context.pipeline.fallback, self.open_session, WANTED)

    def ask(self, customer: int, **attributes: str) -> LookupAnswer:
        return answer_lookup(self.context(), [f"customer={customer}"], None, None, attributes)


def customers(numbers: range) -> pa.Table:
    return pa.table(
        {
            "customer": pa.array(list(numbers), pa.int64()),
            "region": [("north", "south", None)[n % 3] for n in numbers],
            "age": pa.array([20 + n for n in numbers], pa.int32()),
        }
    )


def scores(numbers: range, of: float = 0.0) -> pa.Table:
    return pa.table(
        {
            "customer": pa.array(list(numbers), pa.int64()),
            "score": [of + n for n in numbers],
            "served": [True] * len(numbers),
        }
    )


@pytest.fixture
def buys(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Buys:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    (tmp_path / "conf/pipelines").mkdir(parents=True)
    (tmp_path / "conf/pipelines/buys.yaml").write_text(PIPELINE)
    made = Buys(tmp_path, lambda: spark)
    made.write("landed", customers(range(12)))
    made.write("predictions", scores(range(9)))
    return made


def test_levels_answer_in_their_order(buys: Buys) -> None:
    assert buys.settle() == []
    there = buys.ask(4)
    assert there["found"] and there["prediction"]["score"] == 4.0 and "fallback" not in there
    # Landed, and not predicted: its own region answers. North has 0, 3 and 6.
    own = buys.ask(9)
    assert (own["found"], own["fallback"]) == (False, "region")
    assert own["prediction"] == {"region": "north", "score": 3.0, "customers": 3}
    assert own.exit_code == 0
    # Never seen: what the question says decides, else the level of all.
    assert buys.ask(777, region="south")["prediction"]["score"] == 4.0
    assert buys.ask(777)["prediction"] == {"score": 4.0}
    assert buys.ask(777, region="nowhere")["fallback"] == "everybody"
    # What is said wins over what the key had when it was landed.
    assert buys.ask(9, region="south")["prediction"]["region"] == "south"
    # Landed without a region.
    assert buys.ask(11)["fallback"] == "everybody"


def test_several_keys_are_answered_as_each_alone_by_one_read(
    buys: Buys, monkeypatch: pytest.MonkeyPatch
) -> None:
    buys.settle()
    numbers = (777, 4, 9, 11, 10, 9)
    alone = [buys.ask(number) for number in numbers]
    read: list[str] = []

    def watch(table: str, *arguments: Any) -> Any:
        read.append(table)
        return lookup_rows(table, *arguments)

    monkeypatch.setattr(fallback_answers, "lookup_rows", watch)
    texts = [f"customer={number}" for number in numbers]
    told = answer_lookup(buys.context(), texts, None, None, {})
    assert [{**one, "key": None} for one in told["results"]] == [
        {**one, "key": None} for one in alone
    ]
    assert read == [buys.context().fallbacks]
    # All keys have predictions: nothing is read.
    answer_lookup(buys.context(), ["customer=3", "customer=4"], None, None, {})
    assert len(read) == 1


def test_a_row_that_is_too_old_stays_beside_the_answer_of_the_levels(
    buys: Buys, monkeypatch: pytest.MonkeyPatch
) -> None:
    buys.settle()
    long_ago = (dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=8)).isoformat()
    monkeypatch.setattr(
        "batchinfer.pipeline.answering.fallback_answers.confirmed_times", lambda *_: {DAY: long_ago}
    )
    old = buys.ask(4, region="south")
    assert (old["found"], old["stale"], old["prediction"]["score"]) == (True, True, 4.0)
    assert (old["fallback"], old["fallback_prediction"]["region"]) == ("region", "south")
    buys.edit("  max_age: 7d\n", "")
    assert "stale" not in buys.ask(4)


def test_fallbacks_follow_the_predictions_and_the_levels(buys: Buys) -> None:
    buys.settle()
    first = made_from(buys.context())

    def no_session() -> Any:
        raise AssertionError("nothing had to be computed")

    assert settle_fallbacks(buys.context(), no_session) == []
    buys.write("predictions", scores(range(9), of=100.0), "2026-11-22")
    buys.settle()
    second = made_from(buys.context())
    assert first != second and buys.ask(777)["prediction"] == {"score": 104.0}
    buys.edit(
        "round(avg(score), 2) as score from predictions", "max(score) as score from predictions"
    )
    buys.settle()
    assert buys.ask(777)["prediction"] == {"score": 108.0}


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select nothing from predictions", "Spark refuses the query.*nothing"),
        ("select score from", "Spark refuses the query"),
        ("select score from predictions", "several rows for all keys"),
        ("select region, score from features join predictions using (customer)", "several rows"),
    ],
)
def test_a_query_that_cannot_answer_is_refused_with_its_place(
    buys: Buys, sql: str, said: str
) -> None:
    buys.edit("select round(avg(score), 2) as score from predictions", sql)
    with pytest.raises(
        ConfigError, match=rf"fallback\.levels\[1\] \(everybody\): .*{said}"
    ) as told:
        buys.settle()
    assert told.value.problems[-1].startswith("the predictions are published, and the former")


def test_what_rows_tell_of_a_query_shows_no_sensitive_value(buys: Buys) -> None:
    buys.edit("fallback:", "sensitive: region\nfallback:")
    buys.edit(
        "select region, round(avg(score), 2) as score, count(*) as customers",
        "select region, score",
    )
    buys.edit("group by region", "")
    with pytest.raises(ConfigError, match=r"several rows for region=\*\*\*; allowed: one"):
        buys.settle()
    buys.edit("select region, score", "select region, cast(region as int) as score")
    with pytest.raises(ConfigError, match=r"CAST_INVALID_INPUT.*The value '\*\*\*'") as told:
        buys.settle()
    assert "north" not in str(told.value) and "south" not in str(told.value)


WANTED = pa.schema([("customer", pa.int64()), ("slice", pa.string()), ("score", pa.float64())])


def analysed(buys: Buys, sql: str) -> ConfigError:
    """What is said of the query of the second level before anything is scored."""
    buys.edit("select round(avg(score), 2) as score from predictions", sql)
    with pytest.raises(ConfigError) as refused:
        buys.check()
    (problem,) = refused.value.problems
    assert "buys.yaml: fallback.levels[1] (everybody): " in problem
    return refused.value


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select avg(scor) as s from predictions", "of predictions: customer, slice, score; of"),
        ("select avg(age) as s from feature", "allowed: predictions, features"),
        ("select (score from predictions", "[PARSE_SYNTAX_ERROR]"),
        ("select avg(region) + date'2026-01-01' as s from features", "DATATYPE_MISMATCH"),
        ("select 1 as a, 2 as a", "allowed: each name once"),
        ("select make_interval(1) as long from predictions limit 1", "UNSUPPORTED_DATA_TYPE"),
    ],
)
def test_a_query_that_spark_refuses_is_found_by_the_columns_alone(
    buys: Buys, sql: str, said: str
) -> None:
    told = str(analysed(buys, sql))
    assert said in told
    assert " pos " not in told


def test_a_command_is_no_query_and_is_not_obeyed(buys: Buys) -> None:
    spark = buys.open_session()
    spark.sql("create or replace global temp view kept as select 1 as score")
    analysed(buys, "drop view global_temp.kept")
    assert spark.sql("select * from global_temp.kept").count() == 1
    spark.catalog.dropGlobalTempView("kept")


def test_all_queries_that_are_refused_are_told_at_once(
    buys: Buys, capfd: pytest.CaptureFixture[str]
) -> None:
    buys.edit("by: [region]", "by: [land]")
    buys.edit("select round(avg(score), 2) as score from predictions", "select 1 as one from x")
    with pytest.raises(ConfigError, match="gives no column land; it gives region") as refused:
        buys.check()
    assert len(refused.value.problems) == 2
    assert "SQLQueryContextLogger" not in capfd.readouterr().err


def test_a_run_whose_fallbacks_are_refused_scores_nothing(
    tmp_path: Path, trained: Path, spark: SparkSession
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    project = SmallProject(tmp_path, lambda: spark)
    before = table_version(project.context().predictions)
    path = tmp_path / "conf/pipelines/small.yaml"
    path.write_text(
        f"{path.read_text()}fallback: {{levels: [{{name: all, sql: select avg(x) as x from"
        " predictions}]}\n"
    )
    with pytest.raises(ConfigError, match=r"small\.yaml: fallback\.levels\[0\] \(all\): "):
        project.score(DAY, force=True)
    assert table_version(project.context().predictions) == before
    project.edit("avg(x) as x", "avg(score) as x")
    assert project.score(DAY, force=True).status == "published"
    assert made_from(project.context()) is not None


def test_a_plan_says_that_queries_are_not_checked_until_they_were_computed(buys: Buys) -> None:
    def warned() -> list[str]:
        return [one for one in plan_slice(buys.context(), DAY)["warnings"] if "fallback" in one]

    assert "plan starts no Spark" in warned()[0]
    buys.settle()
    assert warned() == []
    buys.edit("  max_age: 7d\n", "")
    assert warned() == [], "no query is another one"
    buys.edit("avg(score), 2) as score from predictions", "avg(x), 2) as score from predictions")
    assert "score does, before it scores" in warned()[0]


def test_features_have_the_derived_columns_that_a_level_names(buys: Buys) -> None:
    buys.edit(
        "fallback:\n",
        "derive: {decade: 'cast(10 / (age - 29) as int)', old: 'decade > 1', other: 'age + 1'}\n"
        "fallback:\n",
    )
    buys.edit("by: [region]", "by: [old]")
    buys.edit(
        "select region, round(avg(score), 2) as score, count(*) as customers",
        "select old, round(avg(score), 2) as score, count(*) as customers",
    )
    buys.edit("group by region", "group by old")
    buys.check()
    buys.settle()
    # 20 .. 28 have predictions and are below 29: 10 / -9 .. 10 / -1 are not above 1.
    assert buys.ask(777, old="false")["prediction"]["customers"] == 9
    # Landed without predictions: 29 is a division by zero, 30 and 31 are 10 and 5.
    assert buys.ask(9)["fallback"] == "everybody"
    buys.write("predictions", scores(range(11)), "2026-11-22")
    buys.settle()
    assert buys.ask(777, old="true")["prediction"] == {"old": True, "score": 10.0, "customers": 1}
    # Its own features answer.
    assert buys.ask(11)["prediction"]["customers"] == 1


def test_derived_columns_of_what_has_not_landed_are_told(buys: Buys) -> None:
    buys.edit(
        "fallback:\n",
        "prepare: [{lag: {columns: age, by: customer, order: age}}]\n"
        "derive: {grown: 'age - age_lag_1'}\nfallback:\n",
    )
    told = analysed(buys, "select avg(grown) as g from features")
    assert "no derived columns here, as they read age_lag_1, which has not landed" in str(told)


def test_columns_that_a_query_does_not_give_are_refused(buys: Buys) -> None:
    buys.edit("by: [region]", "by: [land]")
    with pytest.raises(ConfigError, match="gives no column land; it gives region, score"):
        buys.settle()


def test_attributes_and_fallbacks_that_are_not_there_are_told(buys: Buys) -> None:
    with pytest.raises(InputMissing, match="no fallbacks of pipeline buys have been computed"):
        buys.ask(777)
    buys.settle()
    with pytest.raises(ConfigError, match="by 'land'; allowed: region"):
        buys.ask(777, land="x")
    buys.edit(PIPELINE[PIPELINE.index("fallback:") :], "")
    with pytest.raises(ConfigError, match="has no fallback"):
        buys.ask(777)


def test_stores_hold_the_fallbacks_beside_the_predictions(buys: Buys) -> None:
    report = load_stores(buys.context(), buys.open_session, verify=True)
    (store,) = report.stores
    # Two regions, all, and the two keys with a region of their own.
    assert (store.rows, store.fallback_rows) == (9, 5)
    assert (buys.root / "var/online/buys/fallbacks/pointer.json").exists()
    assert buys.ask(777)["fallback"] == "everybody", "the load has computed them"
