"""MLflow's python functions: predictions land on their rows, values have the signature's types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from batchinfer.errors import ModelError
from batchinfer.models.formats.mlflow_model import predicted_frame

from .landed_rows import LandedRows

Land = Callable[..., LandedRows]
ROWS = 100
TRUST = "model.trust=pickle"
# MLflow warns of hints, and of examples that it is not given.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def rows() -> pa.Table:
    random = np.random.default_rng(6)
    return pa.table(
        {
            "id": np.arange(ROWS),
            "x": random.normal(size=ROWS),
            "n": pa.array([None if row % 9 == 0 else row for row in range(ROWS)], pa.int64()),
        }
    )


def saved(path: Path, predict: Callable[[pd.DataFrame], Any], types: Mapping[str, str]) -> Path:
    class Model(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return predict(model_input)

    inputs = Schema([ColSpec(type_, name) for name, type_ in types.items()])
    mlflow.pyfunc.save_model(path, python_model=Model(), signature=ModelSignature(inputs=inputs))
    return path


def sorted_frame(frame: pd.DataFrame) -> pd.DataFrame:
    found = frame.sort_values("x")
    return pd.DataFrame({"twice": found["x"] * 2})


def sorted_series(frame: pd.DataFrame) -> Any:
    return frame.sort_values("x")["x"] * 2


@pytest.mark.parametrize(
    ("predict", "column"), [(sorted_frame, "twice"), (sorted_series, "prediction")]
)
def test_rows_that_come_back_in_another_order_are_known_by_their_index(
    landed: Land, tmp_path: Path, predict: Any, column: str
) -> None:
    project = landed(rows())
    report = project.register(saved(tmp_path / "m", predict, {"x": "double"}), TRUST)
    assert report.held_against[0]["numbers_differ"] == 0
    np.testing.assert_array_equal(project.scored(TRUST)[column], project.frame()["x"] * 2)


def test_rows_in_another_order_without_an_index_are_found_and_refused(
    landed: Land, tmp_path: Path
) -> None:
    project = landed(rows())
    path = saved(tmp_path / "m", lambda frame: np.sort(frame["x"].to_numpy()), {"x": "double"})
    with pytest.raises(ModelError, match="held against itself with the rows in another order"):
        project.register(path, TRUST)
    report = project.register(path, TRUST, allow_difference=True)
    assert any("itself with the rows in another order" in one for one in report.warnings)


@pytest.mark.parametrize(
    ("index", "says"), [([5, 6, 7], "index of its own"), ([0, 0, 1], "index of its own"),
                        ([0, 1], "2 rows for 3")],
)  # fmt: skip
def test_an_index_of_its_own_is_refused(index: list[int], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        predicted_frame(pd.DataFrame({"p": np.arange(len(index))}, index=index), 3)


def test_a_frame_in_order_stays_as_it_is() -> None:
    frame = pd.DataFrame({"p": [3, 1, 2]})
    assert predicted_frame(frame, 3) is frame
    assert predicted_frame([7, 8, 9], 3)["prediction"].tolist() == [7, 8, 9]
    assert predicted_frame(frame.iloc[[2, 0, 1]], 3)["p"].tolist() == [3, 1, 2]


def test_whole_numbers_with_gaps_become_the_signatures_double(landed: Land, tmp_path: Path) -> None:
    """What MLflow infers of a column of whole numbers with a gap, which pandas has as floats."""
    project = landed(rows())
    path = saved(tmp_path / "m", lambda frame: frame["n"].fillna(-5.0) + 1, {"n": "double"})
    assert project.register(path, TRUST).warnings == []
    expected = project.frame()["n"].fillna(-5) + 1
    np.testing.assert_array_equal(project.scored(TRUST)["prediction"], expected)


def test_doubles_become_the_signatures_float_and_that_is_said(landed: Land, tmp_path: Path) -> None:
    project = landed(rows())
    path = saved(tmp_path / "m", lambda frame: frame["x"].astype("float64"), {"x": "float"})
    [said] = project.register(path, TRUST).warnings
    assert "takes float in x: values are rounded to 32 bits" in said
    expected = project.frame()["x"].astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(project.scored(TRUST)["prediction"], expected)


def test_nulls_where_the_signature_says_long_are_told_apart_before_the_model_is_asked(
    landed: Land, tmp_path: Path
) -> None:
    from deltalake import DeltaTable

    project = landed(rows())
    path = saved(tmp_path / "m", lambda frame: frame["n"] * 2, {"n": "long"})
    assert project.register(path, TRUST).held_against[0]["rows"] == ROWS - 12
    found = project.scored(TRUST)
    assert len(found) == ROWS - 12 and (found["prediction"] == found.index * 2).all()
    bad = DeltaTable(project.context().quarantine).to_pandas()
    assert set(bad["message"]) == {
        "column n: got null; the model takes int64, which has no missing value"
    }


def test_a_type_that_a_column_cannot_become_is_refused_in_words(
    landed: Land, tmp_path: Path
) -> None:
    project = landed(rows())
    path = saved(tmp_path / "m", lambda frame: frame["x"], {"x": "string"})
    with pytest.raises(ModelError, match="signature takes string in 'x'; the landed column"):
        project.register(path, TRUST)


def test_the_error_of_the_model_is_told_whole_and_without_a_hint_for_tensors(
    landed: Land, tmp_path: Path
) -> None:
    project = landed(rows())

    def fail(frame: pd.DataFrame) -> Any:
        raise RuntimeError("the first line\nand what is wrong with it stands here")

    with pytest.raises(ModelError, match="the first line and what is wrong with it") as told:
        project.register(saved(tmp_path / "m", fail, {"x": "double"}), TRUST)
    assert "torch.export" not in str(told.value.hint)
