"""Scoring on executors: the roads, publishing, faults inside a batch."""

from __future__ import annotations

import datetime as dt

import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from readers import read_four_ways
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.errors import ChecksFailed, ConfigError, ModelError, SliceHeld, TooManyQuarantined
from batchinfer.pipeline.scoring.devices import load_folder
from batchinfer.pipeline.scoring.resolved_inputs import resolve_model
from batchinfer.pipeline.slices.table_columns import TableColumns


@pytest.fixture
def trained(small: SmallProject) -> SmallProject:
    small.extract()
    small.train()
    return small


SIZES = st.none() | st.floats(-1e6, 1e6, width=32)
COLORS = st.none() | st.sampled_from(["red", "blue", "green", "grün", ""])


@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.tuples(COLORS, SIZES), min_size=1, max_size=50),
    st.integers(1, 40),
    st.integers(1, 700),
)
def test_the_three_roads_and_a_plain_loop_give_the_same_rows(
    trained: SmallProject, rows: list[tuple[str | None, float | None]], times: int, batch_rows: int
) -> None:
    (before,) = (trained.root / "in").glob("*.csv")
    day = (
        dt.date.fromisoformat(DAY if before.stem == "a" else before.stem) + dt.timedelta(days=1)
    ).isoformat()
    before.unlink()
    lines = [
        f"{number},{'' if color is None else color},{'' if size is None else size},yes"
        for number, (color, size) in enumerate(rows * times)
    ]
    trained.write(f"in/{day}.csv", "\n".join(["id,color,size,big", *lines]) + "\n")
    trained.extract(day)
    found = {}
    for road in ("direct", "arrow", "pandas"):
        report = trained.score(
            day, f"model.road={road}", f"model.batch.rows={batch_rows}", force=True
        )
        assert (report.road, report.rows_in, report.rows_scored + report.rows_reused) == (
            road,
            len(lines),
            len(lines),
        )
        found[road] = trained.table("predictions").filter(pc.field("slice") == day).sort_by("id")
    expected = _plain_loop(trained, day)
    for road in ("direct", "arrow", "pandas"):
        assert found[road].column("id").to_pylist() == list(expected)
        assert found[road].column("input_fingerprint") == found["direct"].column(
            "input_fingerprint"
        )
        assert found[road].column("score").to_pylist() == pytest.approx(
            list(expected.values()), rel=1e-5, abs=1e-6
        )


def _plain_loop(project: SmallProject, day: str) -> dict[int, float]:
    """Scores by key, one row after the other."""
    model = resolve_model(TableColumns(project.context()))
    handler = load_folder(model.folder, model.ref.digest, "cpu")
    landed = project.table("landed").filter(pc.field("slice") == day).sort_by("id")
    scores = {}
    for batch in landed.to_batches():
        for row in range(batch.num_rows):
            one = batch.slice(row, 1)
            decoded = handler.decode(handler.forward(handler.encode(one)))
            scores[one.column("id")[0].as_py()] = decoded["score"][0].as_py()
    return scores


def test_batches_of_one_and_of_all_rows_give_the_same_predictions(trained: SmallProject) -> None:
    reference = trained.score().rows_scored and trained.predictions()
    for rows in (1, 39, 40, 41):
        trained.score(DAY, f"model.batch.rows={rows}", force=True)
        again = trained.predictions()
        assert again.keys() == reference.keys()
        assert all(
            again[key][0] == pytest.approx(reference[key][0], rel=1e-5, abs=1e-6)
            for key in reference
        )


def test_five_readers_read_the_predictions_and_spark_their_comments(
    trained: SmallProject, spark: SparkSession
) -> None:
    report = trained.score()
    table = spark.read.format("delta").load(report.table)
    assert table.count() == 40
    assert {row["served"] for row in table.select("served").distinct().collect()} == {True}
    described = {
        row["col_name"]: row["comment"]
        for row in spark.sql(f"DESCRIBE TABLE delta.`{report.table}`").collect()
    }
    assert described["bundle_digest"].startswith("SHA-256")
    by_spark = [row["score"] for row in table.orderBy("id").collect()]
    others = read_four_ways(report.table, ["id"], "score")
    assert others == dict.fromkeys(("deltalake", "pandas", "polars", "duckdb"), by_spark)


def test_a_second_run_does_nothing_and_force_scores_again(trained: SmallProject) -> None:
    first = trained.score()
    again = trained.score()
    assert (again.status, again.rows_in, again.rows_reused, again.version) == (
        "unchanged",
        40,
        40,
        first.version,
    )
    forced = trained.score(force=True)
    assert (forced.status, forced.rows_scored) == ("published", 40)
    assert trained.table("predictions").num_rows == 40


def test_late_rows_make_a_slice_stale_and_backfill_picks_it_up(trained: SmallProject) -> None:
    trained.score()
    assert trained.states() == {DAY: "published"}
    trained.write("in/late.csv", csv_of(range(40, 50)))
    late = trained.extract()
    assert (late.rows_landed, late.files_read) == (10, 1)
    assert trained.states() == {DAY: "stale"}
    filled = trained.backfill(DAY, "2026-11-22")
    assert (filled.exit_code, filled.no_data) == (0, ["2026-11-22"])
    assert trained.states() == {DAY: "published"}
    assert len(trained.predictions()) == 50


def test_a_new_champion_makes_a_slice_stale(trained: SmallProject) -> None:
    trained.score()
    trained.train("train.params.seed=2")
    assert trained.states() == {DAY: "stale"}
    assert trained.score().model_version == "2"


def test_a_failed_suite_publishes_nothing_and_leaves_what_was_there(trained: SmallProject) -> None:
    trained.score()
    before = trained.table("predictions")
    trained.write(
        "never.yaml",
        "- expect_column_values_to_be_between: {column: score, min_value: 2, max_value: 3}\n",
    )
    with pytest.raises(ChecksFailed, match="score") as caught:
        trained.score(DAY, "checks.predictions=never.yaml", force=True)
    assert caught.value.facts["rows_in"] == 40
    assert trained.table("predictions") == before
    parquet = list((trained.root / "var/lake/predictions").glob("**/*.parquet"))
    assert len(parquet) == 1, "the refused files are gone"


def test_poison_rows_are_quarantined_and_the_others_scored(small: SmallProject) -> None:
    small.edit("train:\n", "train:\n  model: {python: 'spark.poison:RaisesOnLargeSizes'}\n")
    small.edit("hidden: [4], ", "")
    small.extract()
    small.train()
    report = small.score()
    assert report.rows_quarantined > 0
    assert report.rows_in == report.rows_scored + report.rows_quarantined == 40
    aside = [row for row in small.table("quarantine").to_pylist() if row["stage"] == "score"]
    assert len(aside) == report.rows_quarantined
    assert {row["reason"] for row in aside} == {"model_error"}
    assert all(
        "too large for me" in row["message"] and row["published"] and row["slice"] == DAY
        for row in aside
    )
    assert len(small.predictions()) == report.rows_scored
    small.score(force=True)
    assert (
        len([row for row in small.table("quarantine").to_pylist() if row["stage"] == "score"])
        == report.rows_quarantined
    )
    with pytest.raises(TooManyQuarantined, match="max_quarantine_rate"):
        small.score(DAY, "checks.max_quarantine_rate=0.01", force=True)
    assert len(small.predictions()) == report.rows_scored


def test_a_crash_between_the_two_commits_is_healed_by_the_next_run(
    trained: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    import batchinfer.lake.delta as delta

    trained.score()
    before = trained.predictions()
    trained.write("in/late.csv", csv_of(range(40, 60)) + "x,red,1,no\n")

    def die(*_: object, **__: object) -> int:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr(delta, "commit", die)
        with pytest.raises(RuntimeError, match="power cut"):
            trained.extract()
    assert trained.table("landed").num_rows == 40
    landed = trained.extract()
    assert (landed.rows_in, landed.rows_landed, landed.rows_quarantined) == (21, 20, 1)
    assert trained.table("quarantine").num_rows == 1
    with monkeypatch.context() as patched:
        patched.setattr(delta, "commit", die)
        with pytest.raises(RuntimeError, match="power cut"):
            trained.score()
    assert trained.predictions() == before
    report = trained.score()
    assert (report.rows_in, report.rows_scored, report.rows_kept) == (60, 20, 40)
    assert len(trained.predictions()) == 60


def test_one_slice_has_one_run(trained: SmallProject) -> None:
    from batchinfer.lake.leases import hold

    with (
        hold(str(trained.root / "var/lake"), "small", DAY, "another"),
        pytest.raises(SliceHeld, match="another"),
    ):
        trained.score()


def test_a_signature_that_does_not_fit_is_found_before_data_is_read(trained: SmallProject) -> None:
    trained.edit("size: double", "size: string")
    trained.edit("  - standardize: {columns: size}\n", "")
    with pytest.raises(ModelError, match="size"):
        trained.score()


def test_the_model_as_a_function_in_sql_gives_the_stored_predictions(
    trained: SmallProject, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    import batchinfer

    trained.score()
    monkeypatch.chdir(trained.root)
    spark.udf.register("score_small", batchinfer.predict_udf(spark, "models:/small@champion"))
    landed = trained.root / "var/lake/landed/small"
    rows = spark.sql(f"select id, score_small(color, size) as p from delta.`{landed}`").collect()
    stored = trained.predictions()
    assert len(rows) == 40
    for row in rows:
        assert row["p"]["error"] is None
        assert row["p"]["score"] == pytest.approx(stored[row["id"]][0], rel=1e-5, abs=1e-6)


def test_predict_resolves_from_the_working_folder_and_needs_the_columns(
    trained: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    import batchinfer

    monkeypatch.chdir(trained.root)
    frame = pd.DataFrame(
        {"color": ["red", None, "never seen"], "size": [1.5, None, 3.0]}, index=[7, 8, 9]
    )
    found = batchinfer.predict(frame, "models:/small@champion")
    assert list(found.index) == [7, 8, 9]
    assert found["error"].isna().all()
    assert found["score"].between(0, 1).all()
    with pytest.raises(ModelError, match="size"):
        batchinfer.predict(frame[["color"]], "models:/small@champion")


def test_a_failed_attempt_does_not_hide_a_published_slice(trained: SmallProject) -> None:
    trained.score()
    trained.write(
        "never.yaml",
        "- expect_column_values_to_be_between: {column: score, min_value: 2, max_value: 3}\n",
    )
    with pytest.raises(ChecksFailed):
        trained.score(DAY, "checks.predictions=never.yaml", force=True)
    assert trained.states() == {DAY: "published"}
    trained.write("in/late.csv", csv_of(range(40, 50)))
    trained.extract()
    with pytest.raises(ChecksFailed):
        trained.score(DAY, "checks.predictions=never.yaml")
    assert trained.states() == {DAY: "failed"}
    assert trained.backfill(DAY, DAY).exit_code == 0
    assert trained.states() == {DAY: "published"}


def test_a_module_beside_conf_is_a_model_of_ones_own(small: SmallProject) -> None:
    small.write(
        "own_net.py",
        "import torch\n\n\nclass Net(torch.nn.Module):\n"
        "    def __init__(self, features, outputs):\n        super().__init__()\n"
        "        self.layer = torch.nn.Linear(features, outputs)\n\n"
        "    def forward(self, features):\n        return self.layer(features)\n",
    )
    small.edit("train:\n", "train:\n  model: {python: 'own_net:Net'}\n")
    small.edit("hidden: [4], ", "")
    small.extract()
    small.train()
    report = small.score()
    assert (report.rows_in, report.rows_quarantined) == (40, 0)
    with pytest.raises(ConfigError, match="no_such_module"):
        small.train("train.model={python: 'no_such_module:Net'}")
