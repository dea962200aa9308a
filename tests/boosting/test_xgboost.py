"""XGBoost's files: each row gets what XGBoost itself says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registrations import Project

from batchinfer.errors import ConfigError, ModelError

from .asked import register, said, scores_of
from .fitted import a_table, saved_xgboost, whole_categories, x_of, y_of

TABLE = a_table(seed=7)
STRANGE = a_table(seed=8, strange=True)


@pytest.mark.parametrize("suffix", ["json", "ubj"])
@pytest.mark.parametrize("categories", [True, False])
def test_two_classes(project: Project, tmp_path: Path, suffix: str, categories: bool) -> None:
    import xgboost

    file = tmp_path / f"model.{suffix}"
    model = saved_xgboost(file, xgboost.XGBClassifier, categories=categories)
    name = f"two_{suffix}_{categories}"
    report = register(project, name, file)
    assert (report.format, report.trust) == ("xgboost", "none")
    assert list(report.inputs) == list(x_of(TABLE, categories).columns)
    for table in (TABLE, STRANGE):
        frame = x_of(table, categories)
        found = said(name, table)
        assert found["error"].isna().all()
        assert found["score"].to_numpy().tolist() == model.predict_proba(frame)[:, 1].tolist()
        assert found["label"].tolist() == list(map(str, model.predict(frame)))


@pytest.mark.parametrize("objective", ["multi:softprob", "multi:softmax"])
def test_several_classes(project: Project, tmp_path: Path, objective: str) -> None:
    import xgboost

    file = tmp_path / "model.json"
    model = saved_xgboost(file, xgboost.XGBClassifier, 4, objective=objective)
    name = objective.replace(":", "_")
    register(project, name, file)
    found, frame = said(name, TABLE), x_of(TABLE)
    np.testing.assert_allclose(scores_of(found, 4), model.predict_proba(frame), rtol=2e-7)
    assert found["label"].tolist() == list(map(str, model.predict(frame)))


@pytest.mark.parametrize(
    ("objective", "how"),
    [
        ("reg:squarederror", {}),
        ("reg:logistic", {}),
        ("count:poisson", {}),
        ("binary:logitraw", {}),
        ("reg:squarederror", {"booster": "dart", "rate_drop": 0.3}),
        ("reg:squarederror", {"num_parallel_tree": 3, "subsample": 0.5}),
        ("survival:cox", {}),
        ("reg:quantileerror", {"quantile_alpha": [0.1, 0.5, 0.9]}),
    ],
)
def test_numbers(project: Project, tmp_path: Path, objective: str, how: dict[str, Any]) -> None:
    import xgboost

    file = tmp_path / "model.json"
    model = saved_xgboost(file, xgboost.XGBRegressor, objective=objective, **how)
    name = f"numbers_{objective}_{'_'.join(how)}".replace(":", "_")
    register(project, name, file)
    found = np.array(said(name, STRANGE)["prediction"].tolist())
    np.testing.assert_allclose(found, model.predict(x_of(STRANGE)), rtol=1e-6)


def test_a_linear_booster_and_one_without_names(project: Project, tmp_path: Path) -> None:
    import xgboost

    frame = x_of(TABLE, categories=False)
    linear = xgboost.XGBRegressor(booster="gblinear", n_estimators=5)
    filled = frame.fillna(0.0)
    linear.fit(filled, y_of(TABLE))
    linear.save_model(tmp_path / "linear.json")
    register(project, "linear", tmp_path / "linear.json")
    table = TABLE.assign(**{name: filled[name] for name in filled}).astype({"whole": "int64"})
    np.testing.assert_allclose(said("linear", table)["prediction"], linear.predict(filled))
    bare = xgboost.train({"max_depth": 3}, xgboost.DMatrix(frame.to_numpy(), y_of(TABLE)), 5)
    bare.save_model(tmp_path / "bare.ubj")
    with pytest.raises(ModelError, match="takes 3 values a row"):
        register(project, "bare", tmp_path / "bare.ubj")
    schema = "{id: int, whole: bigint, y: string, b: float, kind: string, a: double}"
    report = register(project, "bare", tmp_path / "bare.ubj", schema=schema)
    assert list(report.inputs) == list(frame.columns)
    expected = bare.predict(xgboost.DMatrix(frame.to_numpy()))
    np.testing.assert_array_equal(said("bare", TABLE)["prediction"], expected)


def test_the_best_iteration_is_the_wrappers(project: Project, tmp_path: Path) -> None:
    import xgboost

    frame, y = x_of(TABLE), y_of(TABLE)
    how = {"learning_rate": 1.0, "early_stopping_rounds": 5, "enable_categorical": True}
    model = xgboost.XGBClassifier(n_estimators=60, **how)
    model.fit(frame[:400], y[:400], eval_set=[(frame[400:], y[400:])], verbose=False)
    model.save_model(tmp_path / "wrapped.json")
    model.get_booster().save_model(tmp_path / "bare.json")
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    register(project, "wrapped", tmp_path / "wrapped.json")
    assert said("wrapped", TABLE)["score"].tolist() == model.predict_proba(frame)[:, 1].tolist()
    report = register(project, "bare_rounds", tmp_path / "bare.json")
    assert any("early stopping found round" in one for one in report.warnings)
    data = xgboost.DMatrix(frame, enable_categorical=True)
    expected = model.get_booster().predict(data)
    assert said("bare_rounds", TABLE)["score"].tolist() == expected.tolist()
    assert expected.tolist() != model.predict_proba(frame)[:, 1].tolist()


def test_categories_of_whole_numbers(project: Project, tmp_path: Path) -> None:
    import xgboost

    frame = x_of(TABLE)
    frame["whole"] = whole_categories(TABLE)
    model = xgboost.XGBClassifier(n_estimators=9, max_depth=4, enable_categorical=True)
    model.fit(frame, y_of(TABLE)).save_model(tmp_path / "model.json")
    register(project, "wholes", tmp_path / "model.json")
    strange = STRANGE.copy()
    strange.loc[::7, "whole"] = -4
    asked = x_of(strange)
    asked["whole"] = whole_categories(strange)
    expected = model.predict_proba(asked)[:, 1]
    assert said("wholes", strange)["score"].tolist() == expected.tolist()


@pytest.mark.parametrize("unseen", ["null", "fail"])
def test_unseen_categories_as_the_pipeline_says(
    project: Project, tmp_path: Path, unseen: str
) -> None:
    import xgboost

    file = tmp_path / "model.json"
    model = saved_xgboost(file, xgboost.XGBClassifier)
    report = register(project, f"own_{unseen}", file)
    assert any("the next one in sorted" in one for one in report.warnings)
    register(project, f"unseen_{unseen}", file, f"model.unseen={unseen}")
    found = said(f"unseen_{unseen}", STRANGE)
    strange = STRANGE["kind"].isin(["fire", "water"])
    assert strange.sum() > 200
    nulls = STRANGE.assign(kind=STRANGE["kind"].where(~strange, None))
    expected = model.predict_proba(x_of(nulls))[:, 1]
    if unseen == "null":
        assert found["score"].tolist() == expected.tolist()
        assert said(f"own_{unseen}", STRANGE)["score"].tolist() != expected.tolist()
    else:
        assert found["error"].isna().tolist() == (~strange).tolist()
        assert found["score"][~strange].tolist() == expected[~strange].tolist()
        assert "'fire', which was not among the 4 categories" in " ".join(found["error"][strange])
    plain = tmp_path / "plain.json"
    saved_xgboost(plain, xgboost.XGBClassifier, categories=False)
    with pytest.raises(ConfigError, match="lists no categories"):
        register(project, "plain", plain, f"model.unseen={unseen}")


def test_numbers_past_float32_are_named(project: Project, tmp_path: Path) -> None:
    import xgboost

    for categories in (True, False):
        file = tmp_path / f"{categories}.json"
        model = saved_xgboost(file, xgboost.XGBClassifier, categories=categories)
        register(project, f"large_{categories}", file)
        table = TABLE.copy()
        table.loc[3, "a"], table.loc[5, "a"] = 1e300, np.inf
        found = said(f"large_{categories}", table)
        assert np.flatnonzero(found["error"].notna()).tolist() == [3, 5]
        assert "column a: infinity, or a number too large for float32" in found["error"][3]
        fine = found["error"].isna()
        expected = model.predict_proba(x_of(TABLE, categories)[fine])[:, 1]
        assert found["score"][fine].tolist() == expected.tolist()


def test_what_xgboost_refuses_is_named_by_its_row(project: Project, tmp_path: Path) -> None:
    import xgboost

    file = tmp_path / "model.json"
    model = saved_xgboost(file, xgboost.XGBClassifier)
    register(project, "behind", file)
    table = a_table(seed=8, strange="all")
    behind = table["kind"] == "zebra"
    with pytest.raises(xgboost.core.XGBoostError, match="not in the training set"):
        model.predict_proba(x_of(table))
    found = said("behind", table)
    assert behind.sum() > 10 and found["error"].notna().tolist() == behind.tolist()
    assert "got 'zebra', a category that was not there" in found["error"][behind].iloc[0]
    rest = table[~behind]
    assert found["score"][~behind].tolist() == model.predict_proba(x_of(rest))[:, 1].tolist()
