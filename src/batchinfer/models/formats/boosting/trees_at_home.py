"""What the libraries of boosted trees say of their own models, called directly, as their users
would.

Owns how each is asked. Shares with the models here only the reading of their files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from batchinfer.models.elsewhere.comparison import Answers
from batchinfer.models.formats.artifact import Trust
from batchinfer.models.formats.boosting.boosted import library
from batchinfer.models.formats.boosting.catboost_model import read_catboost
from batchinfer.models.formats.boosting.lightgbm_file import read_lightgbm
from batchinfer.models.formats.boosting.lightgbm_model import labels_of_lightgbm
from batchinfer.models.formats.boosting.xgboost_file import read_xgboost
from batchinfer.models.formats.boosting.xgboost_model import labels_of
from batchinfer.models.formats.home import Home

_ROUNDING_32, _ROUNDING_64 = 1e-5, 1e-9


def xgboost_at_home(data: bytes, trust: Trust) -> Home:
    """An XGBoost model: `predict` and `predict_proba` of the wrapper that saved it, else a
    booster's `predict`. Runs on: driver.
    """
    xgboost = library("xgboost")
    described = read_xgboost(data)
    wrappers = {
        "classifier": xgboost.XGBClassifier,
        "regressor": xgboost.XGBRegressor,
        "ranker": xgboost.XGBRanker,
    }
    wrapper = wrappers.get(described.estimator, xgboost.Booster)
    model = wrapper()
    model.load_model(bytearray(data))
    labels = labels_of(described)

    def ask(inputs: Mapping[str, Any]) -> Answers:
        rows = next(iter(inputs.values()))
        if not isinstance(rows, np.ndarray):
            rows = as_categories(rows, described.categories)
        if described.estimator == "classifier" and labels:
            said = [str(label) for label in model.predict(rows)]
            return Answers(np.array(said, object), _wide(model.predict_proba(rows)))
        if described.estimator == "classifier" and described.targets > 1:
            # Its `predict` says which targets are above one half; here their probabilities stand.
            return Answers(numbers=_wide(model.predict_proba(rows)))
        if wrapper is not xgboost.Booster:
            return Answers(numbers=_wide(model.predict(rows)))
        made = xgboost.DMatrix(
            rows,
            feature_names=list(described.names) or None,
            feature_types=list(described.types) or None if isinstance(rows, np.ndarray) else None,
            enable_categorical=True,
        )
        said = np.asarray(model.predict(made))
        if described.objective == "multi:softmax":
            return Answers(np.array([str(int(one)) for one in said], object))
        return Answers(numbers=_two_columns(said) if len(labels) == 2 else _wide(said))

    return Home(f"XGBoost {xgboost.__version__}", _ROUNDING_32, ask, described.names)


def lightgbm_at_home(data: bytes, trust: Trust) -> Home:
    """A LightGBM model: a booster's `predict`. Runs on: driver."""
    lightgbm = library("lightgbm")
    described = read_lightgbm(data)
    booster = lightgbm.Booster(model_str=data.decode())
    labels = labels_of_lightgbm(described)

    def ask(inputs: Mapping[str, Any]) -> Answers:
        rows = next(iter(inputs.values()))
        if not isinstance(rows, np.ndarray):
            rows = as_categories(rows, described.categories)
        said = np.asarray(booster.predict(rows))
        return Answers(numbers=_two_columns(said) if len(labels) == 2 else _wide(said))

    names = described.names if described.named else ()
    return Home(f"LightGBM {lightgbm.__version__}", _ROUNDING_64, ask, names)


def catboost_at_home(data: bytes, trust: Trust) -> Home:
    """A CatBoost model: `predict` and `predict_proba` of its classifier, or `predict` of its
    regressor. Runs on: driver.
    """
    model = read_catboost(data)
    texts = [model.feature_names_[place] for place in model.get_cat_feature_indices()]

    def ask(inputs: Mapping[str, Any]) -> Answers:
        rows = next(iter(inputs.values()))
        if not isinstance(rows, np.ndarray):
            rows = rows.assign(**{name: [_text(one) for one in rows[name]] for name in texts})
        said = np.asarray(model.predict(rows))
        if not len(model.classes_):
            return Answers(numbers=_wide(said))
        labels = np.array([str(one) for one in said.reshape(-1).tolist()], object)
        return Answers(labels, _wide(model.predict_proba(rows)))

    version = library("catboost").__version__
    return Home(f"CatBoost {version}", _ROUNDING_32, ask, tuple(model.feature_names_))


def _text(value: Any) -> str:
    """A category as CatBoost takes it; whole numbers with gaps are fractions to pandas."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value)


def as_categories(frame: Any, categories: Mapping[str, Sequence[Any]]) -> Any:
    """The frame as its user has it: categories of the values that stand in these rows, all else
    numbers.
    """
    import pandas as pd

    made: dict[str, Any] = {}
    for name in frame.columns:
        series = frame[name]
        if name not in categories:
            made[name] = pd.to_numeric(series)
            continue
        # Whole numbers with gaps, which pandas keeps as fractions, are whole numbers.
        kind = type(categories[name][0])
        there = sorted({kind(one) for one in series.dropna()} or set(categories[name]))
        places = {value: place for place, value in enumerate(there)}
        codes = [-1 if pd.isna(one) else places[kind(one)] for one in series]
        made[name] = pd.Categorical.from_codes(codes, there)
    return pd.DataFrame(made, index=frame.index)


def _wide(values: Any) -> np.ndarray:
    array = np.asarray(values, np.float64)
    return array.reshape(len(array), -1)


def _two_columns(values: Any) -> np.ndarray:
    array = np.asarray(values, np.float64)
    return np.stack([1.0 - array, array], axis=1)
