"""Columns that `derive` makes, from training to one row: they are fed, told in the bundle, and a
row that an expression fails on is left out, kept or told of, never dropped in silence.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from spark.projects import DAY, PIPELINE, SmallProject, csv_of

import batchinfer
from batchinfer.errors import ModelError, TooManyQuarantined
from batchinfer.models.bundle import read_bundle, read_steps
from batchinfer.pipeline.plan import plan_slice
from batchinfer.pipeline.register import register_model
from batchinfer.pipeline.scoring.resolved_inputs import resolve_model
from batchinfer.pipeline.slices.table_columns import TableColumns

from .conftest import place_files
from .one_process import OneProcess

# Rows are known by file and line, so that tasks score them without a JVM. `per_id` fails on id 0.
DERIVED = (
    PIPELINE.replace("  key: id\n", "")
    .replace(
        "features:\n",
        "derive:\n  half: size / 2\n  per_id: half / id\n  long_color: upper(color)\nfeatures:\n",
    )
    .replace("columns: color}", "columns: [color, long_color]}")
)
ROWS = 40


@pytest.fixture(scope="module")
def learned_with(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a project that has learned from forty rows with derived columns."""
    root = tmp_path_factory.mktemp("derived")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BATCHINFER_HOME", raising=False)
        place_files(patch, root / "sent")
        project = SmallProject(root, OneProcess)
        project.write("conf/pipelines/small.yaml", DERIVED)
        project.write("in/a.csv", csv_of(range(ROWS)))
        project.extract()
        report = project.train()
        project.write("report.json", json.dumps(report.to_json()))
    return root


@pytest.fixture
def deriving(tmp_path: Path, learned_with: Path, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    place_files(monkeypatch, tmp_path / "sent")
    shutil.copytree(learned_with, tmp_path, dirs_exist_ok=True)
    return SmallProject(tmp_path, OneProcess, ("model.road=direct",))


def report_of(project: SmallProject) -> dict[str, Any]:
    return json.loads((project.root / "report.json").read_text())


def test_training_leaves_out_the_row_that_an_expression_fails_on_and_tells_it(
    deriving: SmallProject,
) -> None:
    report = report_of(deriving)
    assert report["rows_unfit"] == 1
    assert report["rows_train"] + report["rows_validation"] == ROWS - 1
    assert any(
        f"1 of {ROWS} rows were not learned from: derive.per_id (half / id): " in text
        for text in report["warnings"]
    ), report["warnings"]


def rows_of_file(project: SmallProject) -> list[dict[str, Any]]:
    """The rows of the landed table, in the order of the file."""
    rows = project.table("landed").to_pylist()
    return sorted(rows, key=lambda row: row["source_line"])


def test_a_row_that_an_expression_fails_on_is_kept_with_the_reason_and_the_others_are_scored(
    deriving: SmallProject,
) -> None:
    report = deriving.score()
    assert (report.rows_in, report.rows_quarantined) == (ROWS, 1)
    assert report.rows_scored + report.rows_reused == ROWS - 1
    (kept,) = deriving.table("quarantine").to_pylist()
    assert kept["reason"] == "encode_error" and kept["stage"] == "score"
    assert kept["message"].startswith("derive.per_id (half / id): ")
    assert json.loads(kept["raw"])["id"] == 0


def test_a_batch_job_and_one_row_alone_give_the_same_values(
    deriving: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    deriving.score()
    monkeypatch.chdir(deriving.root)
    published = {row["source_line"]: row for row in deriving.table("predictions").to_pylist()}
    for row in rows_of_file(deriving):
        alone = batchinfer.predict([row], "models:/small@champion").iloc[0]
        if row["id"] == 0:
            assert "derive.per_id (half / id): " in alone["error"]
            assert row["source_line"] not in published
        else:
            expected = published[row["source_line"]]["score"]
            # A matrix of forty rows is multiplied in another order than one row is.
            assert alone["score"] == pytest.approx(expected, rel=1e-6)


def test_the_bundle_has_the_expressions_and_feeds_what_they_make(deriving: SmallProject) -> None:
    model = resolve_model(TableColumns(deriving.context()))
    transforms, _ = read_steps(model.folder)
    assert transforms is not None
    # `half` is a helper: another expression reads it, and no step changes it.
    assert transforms.fed_columns() == ["size", "color", "long_color", "per_id"]
    assert "half" not in " ".join(transforms.feature_names())
    assert model.inputs == ("id", "color", "size")
    handler = read_bundle(model.folder, expected_digest=model.ref.digest).handler
    assert handler.transforms.to_json() == transforms.to_json()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("half / id", "half / (id + 0)", 'derive.per_id: got "half / (id + 0)" in the pipeline'),
        ("  per_id: half / id\n", "", "derive.per_id: got no such expression in the pipeline"),
        (
            "  half: size / 2\n",
            "  half: size / 2\n  more: size * 3\n",
            'derive.more: got "size * 3" in the pipeline file; the bundle has no such expression',
        ),
        (
            "  per_id: half / id\n  long_color: upper(color)\n",
            "  long_color: upper(color)\n  per_id: half / id\n",
            "derive: got the order half, long_color, per_id",
        ),
    ],
)
def test_a_model_of_other_expressions_does_not_fit(
    deriving: SmallProject, old: str, new: str, said: str
) -> None:
    deriving.edit(old, new)
    with pytest.raises(ModelError) as error:
        resolve_model(TableColumns(deriving.context()))
    assert said in "\n".join(error.value.problems)


def test_another_expression_is_another_digest(deriving: SmallProject) -> None:
    first = deriving.train().bundle_digest
    assert deriving.train().bundle_digest == first
    deriving.edit("size / 2", "size / 4")
    assert deriving.train().bundle_digest != first


def test_more_rows_than_allowed_that_an_expression_fails_on_end_a_training(
    deriving: SmallProject,
) -> None:
    with pytest.raises(TooManyQuarantined) as error:
        deriving.train("checks.max_quarantine_rate=0.01")
    (problem,) = error.value.problems
    assert f"1 of {ROWS} rows could not be learned from (derive.per_id (half / id): " in problem
    assert len(deriving.context().registry.versions("small")) == 1


def test_a_plan_shows_the_expressions_also_overridden_ones(deriving: SmallProject) -> None:
    assert plan_slice(deriving.context(), DAY)["derive"] == {
        "half": "size / 2",
        "per_id": "half / id",
        "long_color": "upper(color)",
    }
    changed = plan_slice(deriving.context("derive.half=size / 3"), DAY)
    assert changed["derive"]["half"] == "size / 3"
    assert changed.exit_code == 7 and "derive.half" in changed["problems"][0]


def test_derived_columns_alone_can_be_learned_from(deriving: SmallProject) -> None:
    text = (deriving.root / "conf/pipelines/small.yaml").read_text()
    start, end = text.index("  long_color"), text.index("train:")
    deriving.write("conf/pipelines/small.yaml", text[:start] + text[end:])
    assert deriving.train().rows_unfit == 1
    transforms, _ = read_steps(resolve_model(TableColumns(deriving.context())).folder)
    assert transforms is not None and transforms.fed_columns() == ["per_id"]


def test_landed_rows_that_an_expression_fails_on_are_no_rows_to_try_a_model_on(
    deriving: SmallProject,
) -> None:
    import pandas as pd
    import skops.io
    from sklearn.linear_model import LinearRegression

    frame = pd.DataFrame({"size": [1.0, 2.0, 4.0], "per_id": [3.0, 1.0, 2.0]})
    path = deriving.root / "model.skops"
    skops.io.dump(LinearRegression().fit(frame, [1.0, 2.0, 5.0]), path)
    text = (deriving.root / "conf/pipelines/small.yaml").read_text()
    start, end = text.index("  long_color"), text.index("model:")
    deriving.write("conf/pipelines/small.yaml", text[:start] + text[end:])
    report = register_model(deriving.context(), str(path))
    assert report.inputs == {"size": "double", "id": "int"}
    (held,) = report.held_against
    assert (held["rows"], held["numbers_differ"]) == (ROWS - 1, 0)
