"""MLflow's flavours of boosted trees: the native file inside is registered, without trust."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from registrations import Project

from batchinfer.errors import ModelError

from .asked import register, said
from .fitted import (
    a_table,
    saved_catboost,
    saved_lightgbm,
    saved_xgboost,
    texts_of,
    x_of,
)

TABLE = a_table(seed=7)


def save(flavor: str, model: Any, folder: Path) -> Path:
    import mlflow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(mlflow, flavor).save_model(model, folder)
    return folder


def an_xgboost(folder: Path) -> Callable[[Any], Any]:
    import xgboost

    model = saved_xgboost(folder / "own.ubj", xgboost.XGBClassifier)
    save("xgboost", model, folder / "model")
    return lambda table: model.predict_proba(x_of(table))[:, 1]


def a_lightgbm(folder: Path) -> Callable[[Any], Any]:
    import lightgbm

    model = saved_lightgbm(folder / "own.txt", lightgbm.LGBMClassifier)
    save("lightgbm", model.booster_, folder / "model")
    return lambda table: model.predict_proba(x_of(table))[:, 1]


def a_catboost(folder: Path) -> Callable[[Any], Any]:
    import catboost

    model = saved_catboost(folder / "own.cbm", catboost.CatBoostClassifier, categories=False)
    save("catboost", model, folder / "model")
    return lambda table: model.predict_proba(texts_of(table, categories=False))[:, 1]


@pytest.mark.parametrize(
    ("format", "make"),
    [("xgboost", an_xgboost), ("lightgbm", a_lightgbm), ("catboost", a_catboost)],
)
def test_the_file_inside_is_registered(
    project: Project, tmp_path: Path, format: str, make: Callable[[Path], Callable[[Any], Any]]
) -> None:
    own = make(tmp_path)
    report = register(project, f"mlflow_{format}", tmp_path / "model")
    assert (report.format, report.trust) == (format, "none")
    found = said(f"mlflow_{format}", TABLE)["score"]
    np.testing.assert_allclose(found, own(TABLE), rtol=1e-13)


def test_what_needs_code_or_pickles_needs_trust(project: Project, tmp_path: Path) -> None:
    import lightgbm

    model = saved_lightgbm(tmp_path / "own.txt", lightgbm.LGBMClassifier)
    folder = save("lightgbm", model, tmp_path / "wrapped")
    with pytest.raises(ModelError, match=r"not trusted; .* lightgbm \(a Booster\)"):
        register(project, "wrapped", folder)
    folder = save("lightgbm", model.booster_, tmp_path / "coded")
    described = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(described.replace("code: null", "code: code"))
    with pytest.raises(ModelError, match="not trusted"):
        register(project, "coded", folder)
