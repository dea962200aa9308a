"""Bundles of earlier builds that can be wrong are told apart from those that cannot, by what stands
in them.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.hinted_commands import Asked
from batchinfer.models.elsewhere.feeds import unfilled_columns
from batchinfer.models.formats.catalogue import FORMATS
from batchinfer.models.manifest import SIGNATURE, TRANSFORMS, digest_of, sha256, to_bytes
from batchinfer.models.outdated import has_trees, outdated_ways, read_outdated
from batchinfer.transforms import TransformPipeline, fit, parse_steps

FOREIGN = "batchinfer.models.foreign:Foreign"
MATRIX = {"input": "x", "type": "float32", "tensor": "features"}
FRAME = {"input": "frame", "type": "frame", "columns": ["plan", "months", "active"]}
SIGNED = {
    "inputs": [
        {"name": "plan", "type": "string"},
        {"name": "months", "type": "bigint"},
        {"name": "active", "type": "boolean"},
        {"name": "unasked", "type": "string"},
    ]
}
TREES = b"... TreeEnsembleRegressor ..."
LABEL = "label is the likeliest class"
NAN = "a missing value in plan, active reaches the model as NaN, whatever it was fitted with"
ZERO = "a missing number in months reaches the trees as 0"
ORDER = "rows that the model returns under another index"


def manifest(
    format_: str, class_: str, *feeds: dict[str, Any], reading: int | None = None
) -> dict[str, Any]:
    artifact: dict[str, Any] = {"format": format_, "trust": "none"}
    return {
        "handler": {"class": FOREIGN + class_, "params": {"feeds": list(feeds)}},
        "artifact": artifact if reading is None else artifact | {"reading": reading},
    }


@pytest.mark.parametrize(
    ("made", "artefact", "unfilled", "ways"),
    [
        (manifest("onnx", "Classifier", MATRIX), b"Gemm", ["months"], [LABEL]),
        (manifest("onnx", "Classifier", MATRIX), TREES, ["months"], [LABEL, ZERO]),
        (manifest("onnx", "Output", MATRIX), TREES, ["months"], [ZERO]),
        # Steps that leave nothing missing.
        (manifest("onnx", "Output", MATRIX), TREES, [], []),
        (manifest("onnx", "Output", {**MATRIX, "tensor": "token_ids"}), TREES, ["months"], []),
        (manifest("skops", "Classifier", FRAME), b"", [], [LABEL, NAN]),
        (manifest("skops", "Labels", FRAME), b"", [], [NAN]),
        (manifest("skops", "Output", {**FRAME, "columns": ["months"]}), b"", [], []),
        (manifest("pickle", "Classifier", FRAME), b"", [], [LABEL, NAN]),
        (manifest("mlflow", "Columns", FRAME), b"", [], [NAN, ORDER]),
        (manifest("onnx", "Labels", {"input": "t", "columns": ["plan"]}), b"", [], []),
        # Programs have no words of their own, and no trees.
        (manifest("torchscript", "Output", MATRIX), TREES, ["months"], []),
        (manifest("onnx", "Classifier", MATRIX, reading=1), b"", [], [LABEL]),
        (manifest("onnx", "Classifier", MATRIX, reading=2), TREES, ["months"], []),
        ({**manifest("onnx", "Classifier"), "artifact": None}, TREES, ["months"], []),
    ],
)
def test_only_what_can_be_wrong_is_told(
    made: dict[str, Any], artefact: bytes, unfilled: list[str], ways: list[str]
) -> None:
    found = outdated_ways(made, SIGNED, artefact, unfilled)
    assert len(found) == len(ways)
    assert all(one.startswith(way) for one, way in zip(found, ways, strict=True)), found


def estimators() -> dict[str, Any]:
    from sklearn.ensemble import (
        GradientBoostingRegressor,
        HistGradientBoostingRegressor,
        IsolationForest,
        RandomForestClassifier,
    )
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.arange(40.0).reshape(20, 2)
    y = np.arange(20) % 2
    boosted = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=2)
    return {
        "line": LogisticRegression().fit(x, y),
        "forest": RandomForestClassifier(3).fit(x, y),
        "boosted": make_pipeline(StandardScaler(), boosted).fit(x, y),
        "gradient": GradientBoostingRegressor(n_estimators=2).fit(x, y),
        "isolation": IsolationForest(n_estimators=3).fit(x),
    }


@pytest.mark.parametrize("name", ["line", "forest", "boosted", "gradient", "isolation"])
def test_trees_are_found_in_the_files_that_libraries_write(name: str) -> None:
    import skops.io

    made = estimators()[name]
    assert has_trees("skops", skops.io.dumps(made)) is (name != "line")
    assert has_trees("pickle", pickle.dumps(made)) is (name != "line")


@pytest.mark.parametrize(
    ("operator", "trees"),
    [("TreeEnsembleClassifier", True), ("TreeEnsemble", True), ("LinearRegressor", False)],
)
def test_trees_are_found_in_onnx(operator: str, trees: bool) -> None:
    from onnx import TensorProto, helper

    node = helper.make_node(operator, ["x"], ["y"], domain="ai.onnx.ml")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in "xy"]
    graph = helper.make_graph([node], "made", ends[:1], ends[1:])
    assert has_trees("onnx", helper.make_model(graph).SerializeToString()) is trees


def test_a_damaged_file_has_no_trees_and_is_told_elsewhere() -> None:
    assert not has_trees("skops", b"PK\x03\x04 cut off: sklearn.tree._tree")
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("other.json", "sklearn.tree._tree")
    assert not has_trees("skops", empty.getvalue())


def fitted(raw: list[dict[str, Any]]) -> TransformPipeline:
    steps, problems = parse_steps(raw)
    assert not problems
    batch = pa.record_batch({"a": pa.array([1.0, None, 3.0]), "b": pa.array([1.0, 2.0, 4.0])})
    return fit(steps, {"a": pa.float64(), "b": pa.float64()}, lambda: [batch])


IMPUTED = [
    {"impute": {"columns": ["a", "b"], "strategy": "mean"}},
    {"standardize": {"columns": ["a", "b"]}},
]
BARE = [{"standardize": {"columns": ["a", "b"]}}]
HALF = [
    {"impute": {"columns": ["a"], "strategy": "mean"}},
    {"standardize": {"columns": ["a", "b"]}},
]


@pytest.mark.parametrize(("raw", "unfilled"), [(IMPUTED, []), (BARE, ["a", "b"]), (HALF, ["b"])])
def test_steps_leave_missing_what_they_do_not_fill(
    raw: list[dict[str, Any]], unfilled: list[str]
) -> None:
    assert unfilled_columns(fitted(raw)) == unfilled


def old_bundle(
    folder: Path, format_: str, artefact: bytes, transforms: TransformPipeline, facts: Any
) -> dict[str, Any]:
    """A bundle as an earlier build wrote it, as far as it is read without being loaded."""
    folder.mkdir()
    files = {
        SIGNATURE: to_bytes({"inputs": [{"name": "a", "type": "double"}], "outputs": []}),
        TRANSFORMS: to_bytes(transforms.to_json()),
        FORMATS[format_].file: artefact,
    }
    entry = {
        "digest": transforms.digest(),
        "versions": {step.name: step.version for step in transforms.steps},
    }
    made = manifest(format_, "Output", MATRIX) | {
        "format": 1,
        "files": {n: {"sha256": sha256(data), "size": len(data)} for n, data in files.items()},
        "module": None,
        "transforms": entry,
        "facts": facts,
    }
    made["handler"]["code"] = {}
    made["digest"] = digest_of(made)
    for name, data in {**files, "manifest.json": to_bytes(made)}.items():
        (folder / name).write_bytes(data)
    return made


NAMED = {"pipeline": "first", "artifact": {"name": "my trees.onnx", "sha256": ""}}
HERE = "batchinfer register -p "


@pytest.mark.parametrize(
    ("pipeline", "alias", "facts", "command"),
    [
        ("", "champion", NAMED, "first --artifact 'my trees.onnx' --alias champion"),
        ("other", "trial", NAMED, "other --artifact 'my trees.onnx' --alias trial"),
        ("other", "", NAMED, "other --artifact 'my trees.onnx'"),
        ("other", "trial", {}, "other --artifact PATH --alias trial"),
        ("other", "", {}, "other --artifact PATH"),
    ],
)
def test_the_sentence_has_the_command(
    tmp_path: Path, pipeline: str, alias: str, facts: dict[str, Any], command: str
) -> None:
    made = old_bundle(tmp_path / "old", "onnx", TREES, fitted(HALF), facts)
    (sentence,) = read_outdated(
        tmp_path / "old", made, Asked(pipeline) if pipeline else None, alias
    )
    assert sentence == (
        "a missing number in b reaches the trees as 0, which is right only if they were grown on "
        f"the output of these features; {HERE}{command} registers it anew"
    )


def test_what_the_steps_fill_is_no_news(tmp_path: Path) -> None:
    made = old_bundle(tmp_path / "old", "onnx", TREES, fitted(IMPUTED), NAMED)
    assert read_outdated(tmp_path / "old", made) == []
    made = old_bundle(tmp_path / "line", "onnx", b"Gemm", fitted(BARE), NAMED)
    assert read_outdated(tmp_path / "line", made) == []
