"""The model as MLflow calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import torch

from benchmarks.contenders import NAMES, module

if TYPE_CHECKING:
    import pandas as pd


class Predict(mlflow.pyfunc.PythonModel):
    """Loads the network once a process."""

    def load_context(self, context: Any) -> None:
        self.module = module()

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> np.ndarray:
        with torch.inference_mode():
            return self.module(torch.from_numpy(model_input[NAMES].to_numpy(np.float32)))[:, 0].double().numpy()
