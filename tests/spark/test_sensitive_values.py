"""Values of sensitive columns: kept in tables, and in no message, example or page."""

from __future__ import annotations

import json

import pytest
from spark.projects import DAY, PIPELINE, SmallProject, csv_of

from batchinfer.errors import BatchInferError, ConfigError, InputError
from batchinfer.pipeline.quarantined_records import show_quarantined

COLOR, SIZE = "canary mauve", "77123.25"
CHECKS = """\
- expect_column_values_to_be_in_set: {column: color, value_set: [red, blue, green]}
- expect_column_distinct_values_to_be_in_set: {column: color, value_set: [red, blue, green]}
- expect_column_max_to_be_between: {column: size, max_value: 100}
- expect_column_values_to_be_between: {column: size, max_value: 100}
- expect_column_values_to_be_between: {column: id, max_value: 41}
"""
DERIVED = """\
derive:
  code: cast(if(length(color) < 6, '1', color) as int)
features:
  - standardize: {columns: [size, code]}
"""


@pytest.fixture
def private(small: SmallProject) -> SmallProject:
    """A project with sensitive columns, and rows with whose values everything goes wrong."""
    text = PIPELINE.replace("features:\n", DERIVED) + "sensitive: [color, size]\n"
    small.write("conf/pipelines/small.yaml", text)
    small.write("in/a.csv", csv_of(range(40)))
    return small


def _shown(project: SmallProject) -> str:
    """All that people see: pages, runs, messages and the command that lists the quarantine."""
    pages = [path.read_text() for path in (project.root / "var").rglob("*.html")] + [
        path.read_text() for path in (project.root / "var/reports").rglob("*.json")
    ]
    messages = [row["message"] for row in project.table("quarantine").to_pylist()]
    runs = [
        path.read_bytes().decode("latin-1")
        for path in (project.root / "var/lake/runs").rglob("*.parquet")
    ]
    listed = json.dumps(show_quarantined(project.context()).to_json())
    return "\n".join([*pages, *messages, *runs, listed])


def test_what_goes_wrong_with_a_value_is_told_without_it(
    private: SmallProject, capfd: pytest.CaptureFixture[str]
) -> None:
    private.extract()
    private.train()
    bad = f"40,red,{COLOR},no\n41,red,{SIZE},no,{COLOR}\n42,{COLOR},1.0,no\nx,{COLOR},{SIZE},no\n"
    private.write("in/b.csv", "id,color,size,big\n" + bad)
    landed = private.extract("2026-11-22")
    assert landed.rows_quarantined == 3
    report = private.score("2026-11-22", "checks.max_quarantine_rate=1.0")
    assert report.rows_quarantined == 1, "whose code cannot be derived"
    with pytest.raises(BatchInferError) as caught:
        private.score("2026-11-22", "checks.max_quarantine_rate=0.0", force=True)
    shown = "\n".join([_shown(private), *caught.value.problems, *capfd.readouterr()])
    assert "canary" not in shown and SIZE not in shown
    assert "column size: got '***'" in shown
    assert "column id: got 'x'" in shown, "what is not sensitive is told"
    [row] = [
        one
        for one in private.table("quarantine").to_pylist()
        if (one["stage"], one["published"]) == ("score", True)
    ]
    assert "derive" in row["message"] or "code" in row["message"]
    assert COLOR in row["raw"].decode(), "data stay"
    assert any(
        COLOR.encode() in one["raw"]
        for one in private.table("quarantine").to_pylist()
        if one["stage"] == "extract"
    )


def test_examples_of_checks_show_counts_alone(
    private: SmallProject, capfd: pytest.CaptureFixture[str]
) -> None:
    private.write("conf/expectations/small.yaml", CHECKS)
    private.write("in/b.csv", f"id,color,size,big\n40,red,{SIZE},no\n42,{COLOR},1.0,no\n")
    private.extract()
    private.train()
    with pytest.raises(InputError) as caught:
        private.score(DAY, "checks.input=conf/expectations/small.yaml")
    told = "\n".join([*caught.value.problems, *capfd.readouterr()])
    assert "canary" not in told and "77123" not in told and "77,123" not in told
    assert "1 of 42 rows" in told and "examples ***" in told and "observed ***" in told
    assert "examples 42" in told, "what is not sensitive is told"


def test_a_sensitive_key_is_told_by_no_example_and_no_command(
    private: SmallProject, capfd: pytest.CaptureFixture[str]
) -> None:
    private.edit("sensitive: [color, size]", "sensitive: id")
    private.write("in/a.csv", csv_of(range(7000, 7040)))
    private.extract()
    private.train()
    private.score()
    [page] = (private.root / "var/reports").rglob("*.html")
    assert "batchinfer lookup" not in page.read_text()
    private.write("in/b.csv", csv_of(range(7003, 7005)))
    with pytest.raises(InputError) as caught:
        private.extract()
    told = "\n".join([*caught.value.problems, str(caught.value.hint), *capfd.readouterr()])
    assert '{"id": "***"} 2 times' in told and "7003" not in told


def test_examples_of_rows_that_cannot_be_learned_from_show_no_value(
    private: SmallProject, capfd: pytest.CaptureFixture[str]
) -> None:
    private.write("in/a.csv", csv_of(range(40)).replace("red", COLOR))
    private.extract()
    with pytest.raises(BatchInferError) as caught:
        private.train("checks.max_quarantine_rate=0.0")
    told = "\n".join([*caught.value.problems, str(caught.value), *capfd.readouterr()])
    assert "derive.code" in told and "cast of '***' to int" in told and "canary" not in told


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("colour", "sensitive.*no such column: got 'colour'.*did you mean color"),
        ("slice", "sensitive.*by which messages say where a row is"),
        ("source_line", "sensitive.*by which messages say where a row is"),
        ("{a: b}", "sensitive"),
    ],
)
def test_a_name_that_masks_nothing_is_refused(small: SmallProject, named: str, told: str) -> None:
    small.edit("sink:", f"sensitive: [{named}]\nsink:")
    with pytest.raises(ConfigError, match=told):
        small.context()


def test_what_is_derived_from_a_sensitive_column_is_sensitive(private: SmallProject) -> None:
    private.edit("derive:\n", "derive:\n  first: id + 1\n")
    private.edit("  code: ", "  twice: size * 2\n  more: twice + 1\n  code: ")
    assert private.context().sensitive.names == {"color", "size", "code", "twice", "more"}
