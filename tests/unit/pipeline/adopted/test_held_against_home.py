"""A model that says here something else than at home is not registered."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from artefacts import save_linear_onnx

from batchinfer.errors import ModelError
from batchinfer.pipeline.training.trial_rows import chosen_rows

from .landed_rows import LandedRows

Land = Callable[..., LandedRows]
ROWS = 300


def gaps() -> pa.Table:
    """Numbers, of which some are missing; what is to be learned hangs on that."""
    random = np.random.default_rng(8)
    x, y = random.normal(size=(2, ROWS))
    return pa.table(
        {
            "id": np.arange(ROWS),
            "x": pa.array(x, mask=np.arange(ROWS) % 4 == 0),
            "y": pa.array(y),
            "more": pa.array(random.normal(size=ROWS)),
        }
    )


def tree(project: LandedRows) -> Any:
    """A tree that has learned where a missing number goes: not where 0 goes."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    frame = project.frame()[["x", "y"]]
    goal = (frame["x"].isna() | (frame["x"] > 1)).to_numpy()
    return HistGradientBoostingClassifier(max_iter=10, random_state=1).fit(frame.to_numpy(), goal)


def as_onnx(model: Any, path: Path) -> Path:
    from skl2onnx import to_onnx

    first = np.zeros((1, 2), np.float32)
    path.write_bytes(
        to_onnx(model, first, options={"zipmap": False}, target_opset=18).SerializeToString()
    )
    return path


def forest(project: LandedRows) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    frame = project.frame()[["x", "y"]]
    goal = (frame["x"].isna() | (frame["x"] > 1)).to_numpy()
    return RandomForestClassifier(20, random_state=1).fit(frame.to_numpy(), goal)


KEEP = "features: [{keep: {columns: [x, y]}}]\n"
CAST = "features: [{cast: {columns: [x, y], type: double}}]\n"


def test_a_tree_fed_by_keep_gets_what_is_missing_as_missing(landed: Land, tmp_path: Path) -> None:
    import skops.io

    project = landed(gaps(), KEEP)
    model = tree(project)
    skops.io.dump(model, tmp_path / "m.skops")
    assert project.register(tmp_path / "m.skops").warnings == []
    expected = model.predict_proba(project.frame()[["x", "y"]].to_numpy())[:, 1]
    np.testing.assert_array_equal(project.scored()["score"], expected)
    zeros = model.predict_proba(project.frame()[["x", "y"]].fillna(0).to_numpy())[:, 1]
    assert np.abs(expected - zeros).max() > 0.1


@pytest.mark.parametrize("features", [KEEP, CAST])
def test_steps_that_were_never_fitted_leave_what_is_missing(
    landed: Land, tmp_path: Path, features: str
) -> None:
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    project = landed(gaps(), features)
    frame = project.frame()[["x", "y"]].astype(np.float32)
    model = RandomForestClassifier(5, random_state=1).fit(frame.fillna(0), frame["y"] > 0)
    onnx = to_onnx(model, frame.to_numpy()[:1], options={"zipmap": False}, target_opset=18)
    (tmp_path / "m.onnx").write_bytes(onnx.SerializeToString())
    project.register(tmp_path / "m.onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx.SerializeToString())
    _, expected = session.run(None, {session.get_inputs()[0].name: frame.to_numpy()})
    np.testing.assert_array_equal(project.scored()["score"], np.asarray(expected)[:, 1])


def test_a_converted_model_that_lost_the_way_of_missing_values_is_refused(
    landed: Land, tmp_path: Path
) -> None:
    """skl2onnx does not carry where a forest of scikit-learn sends a missing number."""
    project = landed(gaps(), KEEP)
    model = forest(project)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    onnx = as_onnx(model, tmp_path / "m.onnx")
    reference = str(tmp_path / "m.pkl")
    with pytest.raises(ModelError, match=r"held against scikit-learn .* of 300 rows") as told:
        project.register(onnx, "model.trust=pickle", reference=reference)
    assert any("row {" in problem and "here" in problem for problem in told.value.problems)
    assert told.value.hint is not None and "--allow-difference" in told.value.hint
    report = project.register(
        onnx, "model.trust=pickle", reference=reference, allow_difference=True
    )
    own, other = report.held_against
    assert own["numbers_differ"] == 0 and other["numbers_differ"] > 0
    assert any("scikit-learn" in one for one in report.warnings)


def test_a_model_that_was_saved_in_two_ways_says_the_same(landed: Land, tmp_path: Path) -> None:
    import skops.io

    project = landed(gaps(), KEEP)
    model = tree(project)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    skops.io.dump(model, tmp_path / "m.skops")
    reference = str(tmp_path / "m.pkl")
    report = project.register(tmp_path / "m.skops", "model.trust=pickle", reference=reference)
    assert report.warnings == [] and [one["rows"] for one in report.held_against] == [ROWS] * 2


def test_without_landed_rows_it_is_said_that_nothing_was_compared(
    landed: Land, tmp_path: Path
) -> None:
    project = landed(gaps(), "", land=False)
    project.file.write_text(
        project.file.read_text().replace(
            "key: id", "schema: {id: bigint, x: double, y: double, more: double}, key: id"
        )
    )
    report = project.register(save_linear_onnx(tmp_path / "sum.onnx", {"x": 1, "y": 1}))
    assert report.held_against == [] and "nothing has landed yet" in report.warnings[0]


def test_a_model_that_looks_at_the_rows_beside_a_row_is_refused(
    landed: Land, tmp_path: Path
) -> None:
    from .odd_estimators import FirstRowGap

    project = landed(gaps())
    model = FirstRowGap().fit(project.frame()[["y"]], [0.0] * ROWS)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    with pytest.raises(ModelError, match="itself with the rows in another order"):
        project.register(tmp_path / "m.pkl", "model.trust=pickle")


def test_rare_rows_are_among_those_that_are_chosen() -> None:
    rows = 50_000
    plan = np.array(["common"] * rows, object)
    plan[[17, 40_000]] = ["rare", "rarer"]
    number = np.ones(rows)
    gap = np.arange(rows) == 33_333
    table = pa.table(
        {
            "plan": pa.array(plan, pa.string()),
            "x": pa.array(number, mask=gap),
            "whole": pa.array(np.arange(rows)),
        }
    )
    chosen = chosen_rows(table, 2_000)
    assert len(chosen) == 2_000 == len(set(chosen.tolist()))
    assert {17, 40_000, 33_333} <= set(chosen.tolist())
    assert np.histogram(chosen, 10, (0, rows))[0].min() > 100


def test_columns_of_lists_are_tried_on_landed_rows(landed: Land, tmp_path: Path) -> None:
    """An embedding takes whole numbers of a length of its own: no made-up row would do."""
    import json

    import safetensors.torch

    from .odd_networks import Tokens

    table = pa.table(
        {
            "id": np.arange(9),
            "ids": pa.array([[row % 5, 1, 2] for row in range(9)], pa.list_(pa.int32())),
            "mask": pa.array([[1, 1, row % 2] for row in range(9)], pa.list_(pa.int64())),
        }
    )
    project = landed(table)
    net = Tokens()
    safetensors.torch.save_file(net.state_dict(), str(tmp_path / "net.safetensors"))
    path = f"{Tokens.__module__}:Tokens"
    (tmp_path / "net.json").write_text(json.dumps({"class": path, "arguments": {}}))
    report = project.register(tmp_path / "net.safetensors")
    assert report.warnings == [] and report.held_against[0]["rows"] == 9
    import torch

    frame, columns = project.frame(), ("ids", "mask")
    with torch.no_grad():
        ids, mask = (torch.from_numpy(np.stack(frame[name]).astype("int64")) for name in columns)
        expected = net(ids, mask)
    np.testing.assert_allclose(project.scored()["prediction"], expected[:, 0], rtol=1e-6)


def test_the_card_says_what_the_model_is_fed_and_what_it_was_held_against(
    landed: Land, tmp_path: Path
) -> None:
    import skops.io

    project = landed(gaps(), KEEP)
    skops.io.dump(tree(project), tmp_path / "m.skops")
    report = project.register(tmp_path / "m.skops")
    from mlflow.tracking.client import MlflowClient

    client = MlflowClient(project.context().environment.registry)
    card = client.get_model_version("adopted", report.model_version).description
    assert "- features (float64): x, y" in card and "artefact: m.skops, SHA-256 " in card
    [held] = report.held_against
    assert f"| {held['against']} | 300 | 0 | 0 | 0 | 1e-09 |" in card


def test_landed_rows_that_cannot_be_read_are_not_told_as_none(landed: Land, tmp_path: Path) -> None:
    project = landed(gaps(), KEEP)
    for file in (tmp_path / "var/lake/landed/adopted").rglob("*.parquet"):
        file.write_bytes(b"PAR1 damaged")
    [said] = project.register(save_linear_onnx(tmp_path / "sum.onnx", {"m": 2})).warnings
    assert said.startswith("the landed rows cannot be read here (") and "nothing" not in said


def test_of_many_rows_those_near_a_tie_are_asked_about(landed: Land, tmp_path: Path) -> None:
    """A row at one half exactly stands among fifteen thousand, and two models part only there."""
    from .odd_estimators import Half

    many = 15_000
    x = np.random.default_rng(9).uniform(0.5, 3, many) * np.where(np.arange(many) % 2, 1, -1)
    x[[7_001, 12_345]] = 0.0
    project = landed(pa.table({"id": np.arange(many), "x": x}))
    frame = project.frame()[["x"]]
    for name, up in (("up", True), ("above", False)):
        model = Half(up).fit(frame, None)
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(model))
    reference = str(tmp_path / "above.pkl")
    with pytest.raises(ModelError, match=r"2 of [12],\d{3} rows have another label"):
        project.register(tmp_path / "up.pkl", "model.trust=pickle", reference=reference)
    report = project.register(tmp_path / "up.pkl", "model.trust=pickle")
    assert report.warnings == [] and 1_700 <= report.held_against[0]["rows"] <= 2_000
