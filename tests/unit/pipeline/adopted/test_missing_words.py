"""What is missing reaches a model as the word that it was fitted with: None, NaN, or its own."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from batchinfer.errors import ConfigError, ModelError

from .landed_rows import LandedRows
from .odd_estimators import NoneCounter

Land = Callable[..., LandedRows]
ROWS = 120


def plans() -> pa.Table:
    random = np.random.default_rng(5)
    words: list[Any] = ["basic", "pro", None, "", "-1"]
    return pa.table(
        {
            "id": np.arange(ROWS),
            "plan": pa.array([words[row % 5] for row in range(ROWS)], pa.string()),
            "x": pa.array([None if row % 7 == 0 else random.normal() for row in range(ROWS)]),
            "n": pa.array([None if row % 11 == 0 else row % 4 for row in range(ROWS)], pa.int64()),
        }
    )


def fitted(frame: pd.DataFrame, columns: list[str], encoder: Any) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    parts = make_column_transformer(
        (encoder, ["plan"]), (SimpleImputer(), [name for name in columns if name != "plan"])
    )
    goal = [row % 5 in (2, 3) for row in range(len(frame))]
    return make_pipeline(parts, LogisticRegression()).fit(frame[columns], goal)


@pytest.mark.parametrize("word", [None, np.nan, ""])
@pytest.mark.parametrize("kind", ["OneHotEncoder", "OrdinalEncoder", "TargetEncoder"])
def test_a_null_reaches_an_encoder_as_the_word_among_its_categories(
    landed: Land, tmp_path: Path, word: Any, kind: str
) -> None:
    import skops.io
    from sklearn import preprocessing

    how = {
        "OneHotEncoder": {"handle_unknown": "ignore"},
        "OrdinalEncoder": {
            "handle_unknown": "use_encoded_value",
            "unknown_value": 9,
            "encoded_missing_value": -1,
        },
        "TargetEncoder": {},
    }
    project = landed(plans())
    frame = project.frame()
    frame["plan"] = [word if one is None else one for one in frame["plan"]]
    frame["plan"] = frame["plan"].astype(object)
    model = fitted(frame, ["plan", "x", "n"], getattr(preprocessing, kind)(**how[kind]))
    skops.io.dump(model, tmp_path / "m.skops")
    report = project.register(tmp_path / "m.skops")
    assert report.warnings == [] and report.held_against[0]["labels_differ"] == 0
    found = project.scored()
    np.testing.assert_array_equal(
        found["score"], model.predict_proba(frame[["plan", "x", "n"]])[:, 1]
    )
    # The word matters: another one gives other scores on rows with a null.
    others = ["elsewhere" if row % 5 == 2 else one for row, one in enumerate(frame["plan"])]
    other = frame.assign(plan=pd.Series(others, dtype=object))
    if kind != "TargetEncoder":
        gone = model.predict_proba(other[["plan", "x", "n"]])[:, 1]
        assert np.abs(gone - found["score"]).max() > 1e-3


def test_a_sentinel_of_an_imputer_stands_for_a_null(landed: Land, tmp_path: Path) -> None:
    import skops.io
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline

    project = landed(plans())
    frame = project.frame()[["x", "n"]].fillna(-999)
    model = make_pipeline(SimpleImputer(missing_values=-999), LinearRegression())
    model.fit(frame, np.arange(ROWS))
    skops.io.dump(model, tmp_path / "m.skops")
    assert project.register(tmp_path / "m.skops").warnings == []
    np.testing.assert_allclose(project.scored()["prediction"], model.predict(frame), rtol=1e-12)


def odd_model(project: LandedRows, path: Path) -> Any:
    """Nothing in its state tells the word, and None and NaN are two things to it."""
    model = NoneCounter().fit(project.frame()[["plan"]], [0.0] * ROWS)
    path.write_bytes(pickle.dumps(model))
    return model


def test_where_the_model_does_not_tell_the_word_is_asked_for(landed: Land, tmp_path: Path) -> None:
    project = landed(plans())
    odd_model(project, tmp_path / "m.pkl")
    with pytest.raises(
        ModelError, match=r"column plan: .* None and another where it is NaN"
    ) as told:
        project.register(tmp_path / "m.pkl", "model.trust=pickle")
    assert told.value.hint is not None and "--missing plan=none" in told.value.hint


@pytest.mark.parametrize(("said", "word"), [("none", None), ("nan", np.nan), ("?", "?")])
def test_the_word_that_was_said_is_the_one_that_is_used(
    landed: Land, tmp_path: Path, said: str, word: Any
) -> None:
    project = landed(plans())
    model = odd_model(project, tmp_path / "m.pkl")
    project.register(tmp_path / "m.pkl", "model.trust=pickle", missing={"plan": said})
    frame = project.frame()[["plan"]]
    frame["plan"] = pd.Series([word if one is None else one for one in frame["plan"]], dtype=object)
    found = project.scored("model.trust=pickle")
    np.testing.assert_array_equal(found["prediction"], model.predict(frame))


@pytest.mark.parametrize(
    ("missing", "says"), [({"plam": "none"}, "plam"), ({"x": "gone"}, "number")]
)
def test_a_word_for_a_column_that_cannot_have_it_is_refused(
    landed: Land, tmp_path: Path, missing: dict[str, str], says: str
) -> None:
    import skops.io
    from sklearn.preprocessing import OneHotEncoder

    project = landed(plans())
    model = fitted(project.frame(), ["plan", "x"], OneHotEncoder(handle_unknown="ignore"))
    skops.io.dump(model, tmp_path / "m.skops")
    with pytest.raises(ConfigError, match=rf"--missing.*{says}"):
        project.register(tmp_path / "m.skops", missing=missing)


@pytest.mark.parametrize("matrix", [False, True])
def test_rows_that_lack_what_the_model_fails_without_cost_no_search(
    landed: Land, tmp_path: Path, matrix: bool
) -> None:
    import skops.io
    from deltalake import DeltaTable
    from sklearn.linear_model import LinearRegression

    project = landed(plans(), "features: [{keep: {columns: [x, n]}}]\n" if matrix else "")
    frame = project.frame()[["x", "n"]].fillna(0)
    model = LinearRegression().fit(frame.to_numpy() if matrix else frame, np.arange(ROWS))
    skops.io.dump(model, tmp_path / "m.skops")
    project.register(tmp_path / "m.skops")
    gaps = project.frame()[["x", "n"]].isna().any(axis=1)
    found = project.scored()
    assert len(found) == ROWS - gaps.sum() and gaps.sum() > 20
    bad = DeltaTable(project.context().quarantine).to_pandas()
    assert set(bad["message"]) == {
        f"column {name}: got null; the model takes no missing value there" for name in "xn"
    }


def imputed(
    frame: pd.DataFrame, strategy: str, encoder: str = "OneHotEncoder", fill: str = "gone"
) -> Any:
    """The imputer as its users write it: it looks for NaN, and lets None pass."""
    from sklearn import preprocessing
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    how: dict[str, Any] = (
        {"handle_unknown": "ignore"}
        if encoder == "OneHotEncoder"
        else {"handle_unknown": "use_encoded_value", "unknown_value": 9, "encoded_missing_value": 5}
    )
    constant = {"fill_value": fill} if strategy == "constant" else {}
    both = make_pipeline(
        SimpleImputer(strategy=strategy, **constant), getattr(preprocessing, encoder)(**how)
    )
    return fitted(frame, ["plan", "x", "n"], both)


@pytest.mark.parametrize("encoder", ["OneHotEncoder", "OrdinalEncoder"])
@pytest.mark.parametrize("strategy", ["constant", "most_frequent"])
def test_none_passes_an_imputer_of_nan_and_is_seen_in_the_encoder_behind(
    landed: Land, tmp_path: Path, strategy: str, encoder: str
) -> None:
    import skops.io

    project = landed(plans())
    frame = project.frame()[["plan", "x", "n"]]
    model = imputed(frame, strategy, encoder)
    skops.io.dump(model, tmp_path / "m.skops")
    assert project.register(tmp_path / "m.skops").warnings == []
    found = project.scored()
    np.testing.assert_array_equal(found["score"], model.predict_proba(frame)[:, 1])
    if strategy == "constant":
        gone = frame.assign(plan=frame["plan"].fillna("gone"))
        assert np.abs(model.predict_proba(gone)[:, 1] - found["score"]).max() > 1e-3


def test_a_constant_in_the_encoder_says_that_nan_came(landed: Land, tmp_path: Path) -> None:
    import skops.io

    project = landed(plans())
    frame = project.frame()[["plan", "x", "n"]]
    as_nan = frame.assign(
        plan=pd.Series([np.nan if one is None else one for one in frame["plan"]], dtype=object)
    )
    model = imputed(as_nan, "constant")
    skops.io.dump(model, tmp_path / "m.skops")
    assert project.register(tmp_path / "m.skops").warnings == []
    np.testing.assert_array_equal(project.scored()["score"], model.predict_proba(as_nan)[:, 1])


@pytest.mark.parametrize("strategy", ["constant", "most_frequent"])
def test_an_imputer_that_met_nothing_missing_tells_nothing(
    landed: Land, tmp_path: Path, strategy: str
) -> None:
    """Of None it says one thing, of NaN another, and was fitted with neither."""
    import skops.io

    project = landed(plans())
    frame = project.frame()[["plan", "x", "n"]]
    # The constant is a text of the rows' own.
    model = imputed(frame[frame["plan"].notna()], strategy, fill="pro")
    skops.io.dump(model, tmp_path / "m.skops")
    with pytest.raises(ModelError, match=r"column plan: .* None and another where it is NaN"):
        project.register(tmp_path / "m.skops")
    assert project.register(tmp_path / "m.skops", missing={"plan": "none"}).warnings == []
    np.testing.assert_array_equal(project.scored()["score"], model.predict_proba(frame)[:, 1])


@pytest.mark.parametrize("word", ["none", "nan"])
def test_a_text_that_looks_like_a_word_is_said_in_quotes(
    landed: Land, tmp_path: Path, word: str
) -> None:
    import skops.io
    from sklearn.preprocessing import OneHotEncoder

    project = landed(plans())
    frame = project.frame()[["plan", "x", "n"]]
    filled = frame.assign(plan=frame["plan"].fillna(word))
    model = fitted(filled, ["plan", "x", "n"], OneHotEncoder(handle_unknown="ignore"))
    skops.io.dump(model, tmp_path / "m.skops")
    with pytest.raises(ConfigError, match=f"got {word}, .* the model knows the text") as told:
        project.register(tmp_path / "m.skops", missing={"plan": word})
    assert told.value.hint is not None and f"plan='{word}'" in told.value.hint
    project.register(tmp_path / "m.skops", missing={"plan": f"'{word}'"})
    np.testing.assert_array_equal(project.scored()["score"], model.predict_proba(filled)[:, 1])


@pytest.mark.parametrize("said", ["False", "false"])
def test_a_truth_value_is_the_word_of_a_boolean_column(
    landed: Land, tmp_path: Path, said: str
) -> None:
    import skops.io
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    flags = [None if row % 3 == 0 else row % 2 == 0 for row in range(ROWS)]
    project = landed(pa.table({"id": np.arange(ROWS), "flag": pa.array(flags, pa.bool_())}))
    filled = pd.DataFrame({"flag": pd.Series([bool(one) for one in flags], dtype=object)})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    model.fit(filled, [row % 5 == 0 for row in range(ROWS)])
    skops.io.dump(model, tmp_path / "m.skops")
    assert project.register(tmp_path / "m.skops", missing={"flag": said}).warnings == []
    np.testing.assert_array_equal(project.scored()["score"], model.predict_proba(filled)[:, 1])


def test_an_input_of_text_takes_no_none(landed: Land, tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    project = landed(plans())
    filled = project.frame()[["plan"]].fillna("gone")
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    model.fit(filled, [row % 5 in (2, 3) for row in range(ROWS)])
    converted = to_onnx(model, initial_types=[("plan", StringTensorType([None, 1]))])
    (tmp_path / "m.onnx").write_bytes(converted.SerializeToString())
    with pytest.raises(ConfigError, match=r"--missing plan: got none, .* allowed: a text"):
        project.register(tmp_path / "m.onnx", missing={"plan": "none"})
    project.register(tmp_path / "m.onnx", missing={"plan": "gone"})
    np.testing.assert_allclose(
        project.scored()["score"], model.predict_proba(filled)[:, 1], atol=1e-6
    )
