"""A workload's model as MLflow calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlflow

from benchmarks.workloads import KINDS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class Predict(mlflow.pyfunc.PythonModel):
    """Loads the network once a process."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def load_context(self, context: Any) -> None:
        self.model = KINDS[self.kind].model()

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> np.ndarray:
        return self.model.run(
            self.model.tensors([model_input[name].to_numpy() for name in self.model.names])
        )
