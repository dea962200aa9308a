"""`air_quality`: a forecast from earlier rows, on real data, by the real commands."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from deltalake import DeltaTable
from e2e.commands import new_project


def test_the_forecast_is_better_than_the_last_value_known(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    landed = project.run("extract", "-p", "air_quality")
    assert landed.code == 0, landed.stderr
    assert (landed.json["rows_landed"], len(landed.json["slices"])) == (6552, 9)
    trained = project.run("train", "-p", "air_quality", "--from", "2013-01", "--to", "2013-08")
    assert trained.code == 0, trained.stderr
    planned = project.run("plan", "-p", "air_quality", "--slice", "2013-09")
    assert (planned.json["road"], planned.json["history_slices"]) == ("arrow", 8)
    assert planned.json["prepare"] == [
        "deduplicate",
        "filter",
        "lag",
        "lag",
        "forward_fill",
        "rolling",
    ]
    scored = project.run("score", "-p", "air_quality", "--slice", "2013-09")
    assert scored.code == 0, scored.stderr
    assert (
        scored.json["rows_in"],
        scored.json["rows_scored"],
        scored.json["rows_quarantined"],
    ) == (720, 720, 0)
    one = project.run("lookup", "-p", "air_quality", "--key", "time=2013-09-10T05:00:00")
    assert one.code == 0, one.stderr

    hours = pd.read_csv(
        project.root / "examples/data/air/beijing_2013.csv", na_values=["NA"], parse_dates=["time"]
    )
    hours["time"] = hours["time"].dt.tz_localize("UTC")
    hours["known"] = hours["pm25"].shift(6).ffill(limit=12)
    found = (
        DeltaTable(str(project.lake / "predictions/air_quality"))
        .to_pandas()
        .merge(hours, on="time")
        .dropna(subset=["pm25"])
    )
    by_model = (found["prediction"] - found["pm25"]).abs().mean()
    by_last_value = (found["known"] - found["pm25"]).abs().mean()
    assert len(found) == 717
    assert by_model < 0.97 * by_last_value, f"{by_model:.1f} against {by_last_value:.1f}"

    # The same figures by the commands: of the validation rows, and of what was published.
    assert trained.json["metrics"]["skill"] > 0
    assert trained.json["measured_against"]["skill"].endswith("last known value, column pm25_lag_6")
    judged = project.run("evaluate", "-p", "air_quality", "--slice", "2013-09")
    assert judged.code == 0, judged.stderr
    counts = [judged.json[f"rows_{name}"] for name in ("predicted", "with_outcome")]
    assert counts == [720, 717]
    assert judged.json["metrics"]["mae"] == pytest.approx(by_model)
    known = hours["pm25"].shift(6)
    told = found.merge(hours[["time"]].assign(last=known), on="time").dropna(subset=["last"])
    last_error = (told["last"] - told["pm25"]).abs().mean()
    assert judged.json["metrics"]["mae_last_value"] == pytest.approx(last_error)
    own_error = (told["prediction"] - told["pm25"]).abs().mean()
    assert judged.json["metrics"]["skill"] == pytest.approx(1 - own_error / last_error)
    listed = project.run("models", "-p", "air_quality").json["versions"]
    assert listed[0]["evaluated"]["metrics"] == judged.json["metrics"]
