"""CatBoost's files: each row gets what CatBoost itself says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registrations import Project

from batchinfer.errors import ModelError

from .asked import SCHEMA, said, scores_of
from .fitted import a_table, saved_catboost, texts_of, y_of

TABLE = a_table(seed=7)
STRANGE = a_table(seed=8, strange="all")


def register(project: Project, name: str, file: Path, missing: dict[str, str]) -> Any:
    from batchinfer.pipeline.register import register_model
    from batchinfer.pipeline.training.adopted_model import RegisterOptions

    context = project.context(name, schema=SCHEMA)
    return register_model(context, str(file), None, RegisterOptions(missing))


@pytest.mark.parametrize(("suffix", "threshold"), [("cbm", None), ("cbm", 0.3), ("json", None)])
@pytest.mark.parametrize("categories", [True, False])
def test_two_classes(
    project: Project, tmp_path: Path, suffix: str, categories: bool, threshold: float | None
) -> None:
    import catboost

    file = tmp_path / f"model.{suffix}"
    model = saved_catboost(file, catboost.CatBoostClassifier, ("no", "yes"), categories)
    if threshold is not None:
        model.set_probability_threshold(threshold)
        model.save_model(file)
    name = f"two_{suffix}_{categories}_{threshold is None}"
    report = register(project, name, file, {"kind": "nan"} if categories else {})
    assert (report.format, report.trust) == ("catboost", "none")
    for table in (TABLE, STRANGE):
        frame, found = texts_of(table, categories), said(name, table)
        assert found["error"].isna().all()
        np.testing.assert_allclose(found["score"], model.predict_proba(frame)[:, 1], rtol=1e-13)
        assert found["label"].tolist() == model.predict(frame).tolist()
    assert (said(name, TABLE)["score"] > 0.5).mean() < 0.9


@pytest.mark.parametrize("loss", ["MultiClass", "MultiClassOneVsAll"])
@pytest.mark.parametrize("grow", ["SymmetricTree", "Depthwise", "Lossguide"])
def test_several_classes(project: Project, tmp_path: Path, loss: str, grow: str) -> None:
    import catboost

    file = tmp_path / "model.cbm"
    how = {"loss_function": loss, "grow_policy": grow}
    model = saved_catboost(file, catboost.CatBoostClassifier, 4, **how)
    name = f"{loss}_{grow}"
    register(project, name, file, {"kind": "nan"})
    found, frame = said(name, STRANGE), texts_of(STRANGE)
    np.testing.assert_allclose(scores_of(found, 4), model.predict_proba(frame))
    assert found["label"].tolist() == [str(one) for one in model.predict(frame)[:, 0]]


@pytest.mark.parametrize("loss", ["RMSE", "Poisson", "Quantile", "RMSEWithUncertainty"])
def test_numbers(project: Project, tmp_path: Path, loss: str) -> None:
    import catboost

    file = tmp_path / "model.cbm"
    model = saved_catboost(file, catboost.CatBoostRegressor, loss_function=loss)
    register(project, loss, file, {"kind": "nan"})
    found, frame = said(loss, STRANGE)["prediction"], texts_of(STRANGE)
    np.testing.assert_allclose(np.array(found.tolist()), model.predict(frame))


def test_a_category_without_a_word_is_one_row_for_quarantine(
    project: Project, tmp_path: Path
) -> None:
    import catboost

    file = tmp_path / "model.cbm"
    model = saved_catboost(file, catboost.CatBoostClassifier)
    report = register(project, "no_word", file, {})
    assert any("--missing COLUMN=TEXT" in one for one in report.warnings)
    found, gone = said("no_word", TABLE), TABLE["kind"].isna()
    assert found["error"].notna().tolist() == gone.tolist()
    assert "nothing tells which text" in found["error"][gone].iloc[0]
    expected = model.predict_proba(texts_of(TABLE))[:, 1]
    np.testing.assert_allclose(found["score"][~gone], expected[~gone])


def test_whole_numbers_as_categories_and_a_model_of_an_array(
    project: Project, tmp_path: Path
) -> None:
    import catboost

    frame = texts_of(TABLE)
    frame["whole"] = TABLE["whole"].astype("string").fillna("gone").astype(object)
    how = {"iterations": 9, "verbose": 0, "allow_writing_files": False}
    model = catboost.CatBoostClassifier(cat_features=["kind", "whole"], **how)
    model.fit(frame, y_of(TABLE)).save_model(tmp_path / "whole.cbm")
    register(project, "wholes", tmp_path / "whole.cbm", {"kind": "nan"})
    found, gone = said("wholes", TABLE), TABLE["whole"].isna()
    np.testing.assert_allclose(
        found["score"][~gone], model.predict_proba(frame)[:, 1][~gone.to_numpy()]
    )
    assert found["error"].notna().tolist() == gone.tolist()
    bare = catboost.CatBoostClassifier(**how)
    bare.fit(texts_of(TABLE, categories=False).to_numpy(), y_of(TABLE))
    bare.save_model(tmp_path / "bare.cbm")
    with pytest.raises(ModelError, match="takes 3 values a row"):
        register(project, "bare", tmp_path / "bare.cbm", {})


def test_several_targets_are_refused(project: Project, tmp_path: Path) -> None:
    import catboost

    y = np.stack([y_of(TABLE), 1 - y_of(TABLE)], axis=1)
    model = catboost.CatBoostClassifier(
        loss_function="MultiLogloss", iterations=2, verbose=0, allow_writing_files=False
    )
    model.fit(texts_of(TABLE, categories=False), y).save_model(tmp_path / "model.cbm")
    with pytest.raises(ModelError, match="several targets at once"):
        register(project, "several", tmp_path / "model.cbm", {})
