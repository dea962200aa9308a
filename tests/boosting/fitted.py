"""Data with nulls, rare categories and ties, and models of each library that saw them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROWS = 2_000
# Of the strange ones, one would stand before the first of these, one between, one behind the last.
KINDS = ("rock", "scissors", "paper", "well")
COLUMNS = ("whole", "kind", "b", "a")


def a_table(rows: int = ROWS, seed: int = 0, strange: bool | str = False) -> pd.DataFrame:
    """id, a (half of it few values, for ties), b (float32, nulls), kind (text, nulls, one rare
    value), whole (whole numbers with nulls).

    Args:
        strange: some kinds are such as no model has seen; `all`: also one that XGBoost refuses.
    """
    random = np.random.default_rng(seed)
    a = np.where(random.random(rows) < 0.5, random.integers(-2, 3, rows), random.normal(size=rows))
    kind = random.choice(KINDS, rows, p=(0.45, 0.35, 0.19, 0.01)).astype(object)
    if strange:
        kind[random.random(rows) < 0.1] = "fire"
        kind[random.random(rows) < 0.1] = "water"
        kind[random.random(rows) < 0.02] = "zebra" if strange == "all" else "fire"
    kind[random.random(rows) < 0.1] = None
    b = random.normal(size=rows).astype(np.float32)
    b[random.random(rows) < 0.2] = np.nan
    whole = pd.array(random.integers(0, 6, rows), "Int64")
    whole[random.random(rows) < 0.1] = pd.NA
    a[random.random(rows) < 0.05] = np.nan
    columns = {"id": np.arange(rows), "a": a, "b": b, "kind": kind, "whole": whole}
    return pd.DataFrame(columns)


def y_of(table: pd.DataFrame, classes: int = 2) -> np.ndarray:
    """(rows,) classes that the columns decide, and chance."""
    random = np.random.default_rng(1)
    b = table["b"].fillna(0.7).to_numpy(np.float64)
    score = table["a"].fillna(0.4).to_numpy() * 0.8 + np.where(table["kind"] == "rock", 1.5, 0) - b
    score = (
        score + 0.3 * table["whole"].fillna(2).to_numpy(np.float64) + random.normal(size=len(table))
    )
    return np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))


def x_of(table: pd.DataFrame, categories: bool = True) -> pd.DataFrame:
    """The features in the models' own order, as their user would have them."""
    frame = table[list(COLUMNS)].copy()
    frame["whole"] = frame["whole"].astype("float64")
    if not categories:
        return frame.drop(columns="kind")
    frame["kind"] = frame["kind"].astype("category")
    return frame


def whole_categories(table: pd.DataFrame) -> pd.Categorical:
    """The whole numbers as categories; XGBoost takes no fractions for one, and no `Int64`."""
    known = sorted(table["whole"].dropna().unique().tolist())
    return pd.Categorical.from_codes(pd.Index(known).get_indexer(table["whole"]), known)


def saved_xgboost(
    path: Path, wrapper: Any, classes: int = 2, categories: bool = True, **how: Any
) -> Any:
    """A fitted wrapper, saved."""
    table = a_table()
    settings = {"n_estimators": 20, "max_depth": 4, "n_jobs": 1, **how}
    model = wrapper(enable_categorical=categories, **settings)
    model.fit(x_of(table, categories), y_of(table, classes))
    model.save_model(path)
    return model


def saved_lightgbm(
    path: Path, wrapper: Any, classes: int = 2, categories: bool = True, **how: Any
) -> Any:
    """A fitted wrapper, its booster saved."""
    table = a_table()
    settings = {"n_estimators": 20, "max_depth": 4, "n_jobs": 1, "verbose": -1, **how}
    model = wrapper(**settings)
    model.fit(x_of(table, categories), y_of(table, classes))
    model.booster_.save_model(path)
    return model


def texts_of(table: pd.DataFrame, categories: bool = True, word: str = "nan") -> pd.DataFrame:
    """The features as CatBoost's user has them: a text for a category that is missing."""
    frame = x_of(table, categories)
    return frame.assign(kind=table["kind"].fillna(word)) if categories else frame


def saved_catboost(
    path: Path, wrapper: Any, classes: Any = 2, categories: bool = True, **how: Any
) -> Any:
    """A fitted wrapper, saved.

    Args:
        classes: how many, or their names.
    """
    table = a_table()
    settings = {"iterations": 20, "depth": 4, "verbose": 0, "allow_writing_files": False, **how}
    frame = texts_of(table, categories)
    if categories:
        settings["cat_features"] = ["kind"]
    y: Any = y_of(table, classes if isinstance(classes, int) else len(classes))
    y = y if isinstance(classes, int) else np.array(classes)[y]
    model = wrapper(**settings).fit(frame, y)
    if path.suffix == ".json":
        import catboost

        pool = catboost.Pool(frame, cat_features=["kind"] if categories else None)
        model.save_model(path, format="json", pool=pool)
    else:
        model.save_model(path)
    return model
