"""The road of the data, by the commands that a user types: extract, train, score, look up; and what
comes out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pytest
from e2e.commands import Project, new_project
from readers import read_four_ways


def test_score_conserves_rows_and_names_what_made_them(scored: Project) -> None:
    status = scored.run("status", "-p", "income")
    [only] = status.json["slices"]
    assert (only["status"], only["rows_landed"], only["rows_published"]) == (
        "published",
        3000,
        3000,
    )
    assert only["model_version"] == "1"


def test_scoring_again_does_nothing(scored: Project) -> None:
    again = scored.run("score", "-p", "income", "--slice", "2026-11-21")
    assert again.code == 0
    assert again.json["status"] == "unchanged"
    assert (again.json["rows_in"], again.json["rows_scored"], again.json["rows_reused"]) == (
        3000,
        0,
        3000,
    )


def test_extracting_again_lands_nothing(scored: Project) -> None:
    again = scored.run("extract", "-p", "income", "--slice", "2026-11-21")
    assert (again.code, again.json["status"], again.json["files_read"]) == (0, "unchanged", 0)


def test_lookup_one_key_several_keys_and_an_absent_one(scored: Project, tmp_path: Path) -> None:
    one = scored.run("lookup", "-p", "income", "--key", "source_file=adult_test.csv,source_line=17")
    assert one.code == 0
    assert one.json["found"] is True
    prediction = one.json["prediction"]
    assert 0 <= prediction["score"] <= 1
    assert prediction["label"] == (">50K" if prediction["score"] >= 0.5 else "<=50K")
    keys = tmp_path / "keys.txt"
    keys.write_text(
        "source_file=adult_test.csv,source_line=1\nsource_file=adult_test.csv,source_line=999999\n"
    )
    several = scored.run("lookup", "-p", "income", "--keys-file", str(keys))
    assert several.code == 3
    assert [result["found"] for result in several.json["results"]] == [True, False]
    early = scored.run(
        "lookup",
        "-p",
        "income",
        "--key",
        "source_file=adult_test.csv,source_line=17",
        "--as-of",
        "2026-11-20",
    )
    assert (early.code, early.json["found"]) == (3, False)


@pytest.mark.parametrize(
    ("key", "code", "said"),
    [
        ("source_file=adult_test.csv", 2, "source_line"),
        ("source_file=a.csv,source_line=seventeen", 3, "seventeen"),
        ("source_file=a.csv,source_line=1 OR 1=1", 3, "1 OR 1=1"),
        ("source_file=../../etc/passwd,source_line=1", 3, "no prediction"),
        ("nonsense", 2, "nonsense"),
    ],
)
def test_keys_that_are_no_keys(scored: Project, key: str, code: int, said: str) -> None:
    result = scored.run("lookup", "-p", "income", "--key", key)
    assert result.code == code, result.stderr
    assert said in " ".join(result.json["errors"])


def test_the_predictions_table_reads_the_same_in_four_readers_without_a_jvm(
    scored: Project,
) -> None:
    """deltalake, Polars, pandas, and DuckDB's own Delta reader; tests/spark reads it with all
    five.
    """
    found = read_four_ways(
        str(scored.lake / "predictions" / "income"), ["source_file", "source_line"], "score"
    )
    assert len(found["deltalake"]) == 3000
    assert found["polars"] == found["pandas"] == found["duckdb"] == found["deltalake"]


def test_the_predictions_table_is_the_contract(scored: Project) -> None:
    from deltalake import DeltaTable

    table = DeltaTable(str(scored.lake / "predictions" / "income"))
    schema = pa.schema(table.schema().to_arrow())
    assert schema.names == [
        "source_file", "source_line", "slice", "score", "label", "variant", "served", "model_name",
        "model_version",
        "bundle_digest", "source_table", "source_version", "input_fingerprint", "run_id",
        "scored_at",
    ]  # fmt: skip
    assert table.metadata().partition_columns == ["slice"]
    assert all((schema.field(name).metadata or {}).get(b"comment") for name in schema.names)
    features = {
        *(table.protocol().reader_features or []),
        *(table.protocol().writer_features or []),
    }
    assert not features & {"deletionVectors", "columnMapping"}
    rows = table.to_pyarrow_table()
    assert {len(value) for value in rows.column("input_fingerprint").to_pylist()} == {16}
    assert set(rows.column("variant").to_pylist()) == {"champion"}
    assert set(rows.column("served").to_pylist()) == {True}


def test_bot_traffic_backfills_four_days_and_says_which_had_no_data(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    landed = project.run("extract", "-p", "bot_traffic")
    assert landed.code == 0, landed.stderr
    assert (
        landed.json["rows_in"],
        landed.json["rows_landed"],
        landed.json["rows_quarantined"],
    ) == (2501, 2500, 1)
    assert landed.json["slices"] == ["2015-05-17", "2015-05-18", "2015-05-19", "2015-05-20"]
    assert project.run("train", "-p", "bot_traffic").code == 0
    filled = project.run(
        "backfill", "-p", "bot_traffic", "--from", "2015-05-16", "--to", "2015-05-20"
    )
    assert filled.code == 0, filled.stderr
    assert filled.json["no_data"] == ["2015-05-16"]
    assert (filled.json["rows_in"], filled.json["rows_scored"]) == (2500, 2500)
    assert {row["status"] for row in project.run("status", "-p", "bot_traffic").json["slices"]} == {
        "published"
    }
    again = project.run(
        "backfill", "-p", "bot_traffic", "--from", "2015-05-17", "--to", "2015-05-20"
    )
    assert {row["status"] for row in again.json["slices"]} == {"unchanged"}
    job = ["bash", str(Path(__file__).parents[2] / "spark-submit.sh"), "jobs/score.py"]
    submitted = project.execute(
        [*job, "--pipeline", "bot_traffic", "--slice", "2015-05-18", "--force"]
    )
    assert submitted.code == 0, submitted.stderr
    assert submitted.json["status"] == "published"
    assert (
        submitted.json["rows_in"]
        == submitted.json["rows_scored"]
        + submitted.json["rows_reused"]
        + submitted.json["rows_quarantined"]
    )
    wrong = project.execute([*job, "--pipeline", "bot_traffic", "--slice", "1999-01-01"])
    assert (wrong.code, wrong.json["exit_code"]) == (3, 3)


def test_quarantine_keeps_the_record_and_its_place(tmp_path: Path) -> None:
    from deltalake import DeltaTable

    project = new_project(tmp_path)
    assert project.run("extract", "-p", "bot_traffic").code == 0
    [row] = (
        DeltaTable(str(project.lake / "quarantine" / "bot_traffic")).to_pyarrow_table().to_pylist()
    )
    lines = (project.root / "examples/data/logs/access.log").read_bytes().splitlines()
    assert (row["source_file"], row["source_line"], row["stage"], row["reason"]) == (
        "access.log",
        2226,
        "extract",
        "no_match",
    )
    assert row["raw"] == lines[2225]
    assert row["published"] is True


def test_predict_in_process_equals_the_stored_predictions(scored: Project) -> None:
    code = """
import json, sys
import pandas as pd, pyarrow.compute as pc
from deltalake import DeltaTable
import batchinfer
landed = DeltaTable("var/lake/landed/income").to_pandas()
rows = landed.sample(200, random_state=1)
stored = DeltaTable("var/lake/predictions/income").to_pandas()
stored = stored.set_index(["source_file", "source_line"])
found = batchinfer.predict(rows, "models:/income@champion")
assert "pyspark" not in sys.modules
expected = [stored.loc[key] for key in zip(rows.source_file, rows.source_line)]
worst = max(abs(a - b["score"]) / max(abs(b["score"]), 1e-6) for a, b in zip(found.score, expected))
errors = int(found.error.notna().sum())
print(json.dumps({"worst": float(worst), "errors": errors, "rows": len(found)}))
"""
    result = scored.execute([sys.executable, "-c", code])
    assert (result.json["rows"], result.json["errors"]) == (200, 0)
    assert result.json["worst"] < 1e-5


def test_all_state_is_in_the_home_folder(scored: Project) -> None:
    assert sorted(path.name for path in scored.root.iterdir()) == [
        "conf",
        "examples",
        "jobs",
        "var",
    ]
    tables = {
        str(path.parent.relative_to(scored.lake)) for path in scored.lake.glob("**/_delta_log")
    }
    assert tables == {"landed/income", "landed/income.train", "predictions/income", "runs"}
