"""LightGBM's files: each row gets what LightGBM itself says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registrations import Project

from batchinfer.errors import ModelError

from .asked import register, said, scores_of
from .fitted import a_table, saved_lightgbm, x_of, y_of

TABLE = a_table(seed=7)
STRANGE = a_table(seed=8, strange="all")
# What converters to ONNX lose without a word.
WAYS: list[dict[str, Any]] = [
    {},
    {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    {"boosting_type": "dart"},
    {"linear_tree": True},
    {"zero_as_missing": True},
    {"sigmoid": 2.0},
    {"max_cat_to_onehot": 1, "min_data_per_group": 5},
]


@pytest.mark.parametrize("how", WAYS, ids=lambda how: "_".join(how) or "plain")
@pytest.mark.parametrize("categories", [True, False])
def test_two_classes(
    project: Project, tmp_path: Path, how: dict[str, Any], categories: bool
) -> None:
    import lightgbm

    file = tmp_path / "model.txt"
    model = saved_lightgbm(file, lightgbm.LGBMClassifier, categories=categories, **how)
    name = f"two_{'_'.join(how)}_{categories}"
    report = register(project, name, file)
    assert (report.format, report.trust) == ("lightgbm", "none")
    assert list(report.inputs) == list(x_of(TABLE, categories).columns)
    for table in (TABLE, STRANGE):
        frame, found = x_of(table, categories), said(name, table)
        assert found["error"].isna().all()
        assert found["score"].tolist() == model.predict_proba(frame)[:, 1].tolist()
        assert found["label"].tolist() == list(map(str, model.predict(frame)))


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
def test_several_classes(project: Project, tmp_path: Path, objective: str) -> None:
    import lightgbm

    file = tmp_path / "model.txt"
    model = saved_lightgbm(file, lightgbm.LGBMClassifier, 4, objective=objective)
    register(project, objective, file)
    found, frame = said(objective, STRANGE), x_of(STRANGE)
    assert scores_of(found, 4).tolist() == model.predict_proba(frame).tolist()
    assert found["label"].tolist() == list(map(str, model.predict(frame)))


@pytest.mark.parametrize("objective", ["regression", "poisson", "quantile", "cross_entropy"])
def test_numbers(project: Project, tmp_path: Path, objective: str) -> None:
    import lightgbm

    file = tmp_path / "model.txt"
    model = saved_lightgbm(file, lightgbm.LGBMRegressor, objective=objective)
    register(project, objective, file)
    found, frame = said(objective, STRANGE)["prediction"], x_of(STRANGE)
    assert found.tolist() == model.predict(frame).tolist()


def test_a_model_of_an_array_and_an_infinity(project: Project, tmp_path: Path) -> None:
    import lightgbm

    frame = x_of(TABLE, categories=False)
    data = lightgbm.Dataset(frame.to_numpy(), y_of(TABLE))
    bare = lightgbm.train({"objective": "binary", "verbose": -1}, data, 5)
    bare.save_model(tmp_path / "bare.txt")
    with pytest.raises(ModelError, match="takes 3 values a row"):
        register(project, "bare", tmp_path / "bare.txt")
    schema = "{id: int, whole: bigint, y: string, b: float, kind: string, a: double}"
    register(project, "bare", tmp_path / "bare.txt", schema=schema)
    table = TABLE.copy()
    table.loc[3, "a"], table.loc[4, "a"] = np.inf, 1e300
    expected = bare.predict(x_of(table, categories=False).to_numpy())
    assert said("bare", table)["score"].tolist() == np.asarray(expected).tolist()
    # Columns that have the library's own names are taken by them, whatever their order.
    schema = "{id: int, Column_2: double, Column_1: float, y: string, Column_0: bigint}"
    report = register(project, "default_names", tmp_path / "bare.txt", schema=schema)
    assert list(report.inputs) == ["Column_0", "Column_1", "Column_2"]


def test_unseen_categories_may_fail(project: Project, tmp_path: Path) -> None:
    import lightgbm

    file = tmp_path / "model.txt"
    model = saved_lightgbm(file, lightgbm.LGBMClassifier)
    report = register(project, "unseen", file, "model.unseen=fail")
    assert any("a missing value to LightGBM" in one for one in report.warnings)
    found, strange = said("unseen", STRANGE), STRANGE["kind"].isin(["fire", "water", "zebra"])
    assert found["error"].notna().tolist() == strange.tolist()
    expected = model.predict_proba(x_of(STRANGE))[:, 1]
    assert found["score"][~strange].tolist() == expected[~strange].tolist()


def test_a_category_that_landed_as_another_kind_is_refused(
    project: Project, tmp_path: Path
) -> None:
    import lightgbm

    file = tmp_path / "model.txt"
    saved_lightgbm(file, lightgbm.LGBMClassifier)
    schema = "{id: int, whole: bigint, y: string, b: float, kind: int, a: double}"
    with pytest.raises(ModelError, match=r"kind is a category \(paper, rock, .* is int32"):
        register(project, "kinds", file, schema=schema)
    schema = "{id: int, whole: string, y: string, b: float, kind: string, a: double}"
    with pytest.raises(ModelError, match="whole is a number to the model"):
        register(project, "kinds", file, schema=schema)
