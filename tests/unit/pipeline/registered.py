"""What the tests of `register` share: what the net itself gives, and a scikit-learn classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from artefacts import COLUMNS, a_net
from registrations import FRAME


def net_output(outputs: int = 1) -> np.ndarray:
    with torch.inference_mode():
        return a_net(outputs)(torch.from_numpy(FRAME[list(COLUMNS)].to_numpy(np.float32))).numpy()


def a_classifier(target: Any, **how: Any) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (StandardScaler(), ["a", "b"]), (OneHotEncoder(**how), ["kind"])
    )
    return make_pipeline(columns, LogisticRegression()).fit(FRAME, target)
