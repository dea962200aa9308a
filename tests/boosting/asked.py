"""A registered model's own answers, to be held against those of its library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from registrations import Project

import batchinfer

# Another order than any model's, with columns that no model knows.
SCHEMA = "{id: int, b: float, y: string, a: double, kind: string, more: double, whole: bigint}"


def register(project: Project, name: str, file: Path, *overrides: str, **how: Any) -> Any:
    return project.register(name, file, *overrides, **{"schema": SCHEMA, **how})


def said(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """The prediction columns, for rows whose columns stand in another order."""
    columns = [*reversed(table.columns)]
    return batchinfer.predict(table[columns], f"models:/{name}@champion")


def scores_of(found: pd.DataFrame, classes: int) -> np.ndarray:
    """(rows, classes) of a classifier of several classes."""
    rows = [dict(one) for one in found["scores"]]
    return np.array([[row[str(place)] for place in range(classes)] for row in rows])
