"""Parameters of boosted trees in a pipeline file, and what is said where a library is absent."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
from tree_files import a_lightgbm, an_xgboost, as_ubjson

from batchinfer.errors import ConfigError, SetupError
from batchinfer.models.formats.catalogue import open_artifact
from batchinfer.models.parameters import check_params, class_path_of, library_of
from batchinfer.pipeline.train import check_model_class

FILES = {"xgboost": as_ubjson(an_xgboost()), "lightgbm": a_lightgbm()}


@pytest.mark.parametrize(
    ("model", "params", "says"),
    [
        ("xgboost_classifier", {"rounds": 100, "depth": 6, "l2": 0, "subsample": 1}, ""),
        ("lightgbm_regressor", {"leaves": 63, "least_rows": 5, "colsample": 0.5, "seed": 3}, ""),
        (
            "xgboost_classifier",
            {"round": 9},
            "of xgboost_classifier: got 'round'",
        ),
        ("xgboost_classifier", {"leaves": 9}, "unknown parameter"),
        ("xgboost_classifier", {"epochs": 9}, "unknown parameter"),
        ("mlp_classifier", {"rounds": 9}, "unknown parameter of mlp_classifier"),
        ("xgboost_regressor", {"depth": 31}, "got 31; allowed: a whole number from 1 to 30"),
        ("xgboost_regressor", {"depth": True}, "allowed: a whole number from 1 to 30"),
        ("xgboost_regressor", {"learning_rate": 1.5}, "above 0, at most 1"),
        ("xgboost_regressor", {"subsample": 0}, "above 0, at most 1"),
        ("xgboost_regressor", {"seed": 2**31}, "0 to 2**31 - 1"),
        ("lightgbm_classifier", {"leaves": 1}, "from 2 to 131,072"),
        ("lightgbm_classifier", {"l2": -1}, "from 0 to 10^9"),
        ("lightgbm_clasifier", {}, "did you mean lightgbm_classifier"),
    ],
)
def test_parameters_are_judged_when_the_file_is_read(
    model: str, params: dict[str, Any], says: str
) -> None:
    found = check_params(model, params)
    assert len(found) == bool(says) and all(says in message for _, message in found)


def test_a_class_of_pytorch_is_asked_for_where_one_is_needed() -> None:
    assert library_of("lightgbm_regressor") == "lightgbm" and not library_of("mlp_regressor")
    assert not library_of({"python": "a:B"})
    with pytest.raises(ConfigError, match="got xgboost_classifier; allowed here: a class"):
        class_path_of("xgboost_classifier")


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_library_that_is_not_installed_is_named_with_its_extra(library: str) -> None:
    if find_spec(library) is not None:
        pytest.skip(f"{library} is installed")
    for ask in (
        lambda: check_model_class(f"{library}_classifier"),
        lambda: open_artifact(library, FILES[library], "cpu", "none"),
    ):
        with pytest.raises(SetupError, match=f"the package {library} is not installed") as caught:
            ask()
        assert caught.value.exit_code == 2 and "batchinfer[boosting]" in str(caught.value.hint)
