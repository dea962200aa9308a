"""Hostile artefacts: whatever one would run, it makes a marker file; the marker never appears, and
the exit code is 7.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from artefacts import Net, Payload, hostile_pickle, hostile_torch_pickle

from batchinfer.errors import ModelError
from batchinfer.models.formats.catalogue import FORMATS
from batchinfer.pipeline.definition.context import Context

from .hostile_cases import assert_a_bundle_with_it_is_refused, refused


@pytest.mark.parametrize(
    "suffix", [".pt2", ".pt", ".pth", ".onnx", ".skops", ".safetensors", ".pkl", ".joblib", ""]
)
@pytest.mark.parametrize(
    "make", [hostile_pickle, hostile_torch_pickle, lambda marker: pickle.dumps(Payload(marker), 0)]
)
def test_a_pickle_is_refused_whatever_it_is_called(
    context: Context, tmp_path: Path, suffix: str, make: Callable[[Path], bytes]
) -> None:
    path = tmp_path / f"evil{suffix}"
    path.write_bytes(make(tmp_path / "marker"))
    text = refused(context, path, tmp_path / "marker")
    assert "pickle" in text


@pytest.mark.parametrize("format", list(FORMATS))
@pytest.mark.parametrize("make", [hostile_pickle, hostile_torch_pickle])
def test_a_bundle_whose_file_is_a_pickle_is_refused(
    tmp_path: Path, format: str, make: Callable[[Path], bytes]
) -> None:
    # Even where pickles are trusted: the manifest says that this one needs no trust.
    assert_a_bundle_with_it_is_refused(
        format, make(tmp_path / "marker"), tmp_path, tmp_path / "marker"
    )


def test_a_compressed_joblib_pickle_is_refused(context: Context, tmp_path: Path) -> None:
    import joblib

    joblib.dump(Payload(tmp_path / "marker"), tmp_path / "evil.joblib", compress=3)
    refused(context, tmp_path / "evil.joblib", tmp_path / "marker")


def test_an_onnx_model_that_reaches_outside_of_itself_is_refused(
    honest: Path, context: Context, tmp_path: Path
) -> None:
    import onnx

    for name, change in {
        "data elsewhere": lambda model: elsewhere(model, "/etc/hostname"),
        "data beside it": lambda model: elsewhere(model, "weights.bin"),
        "an operator of its own": lambda model: setattr(
            model.graph.node[1], "domain", "ai.onnx.contrib"
        ),
        "a library": lambda model: setattr(model.graph.node[1], "op_type", "EPContext"),
    }.items():
        model = onnx.load(str(honest / "sum.onnx"))
        change(model)
        path = tmp_path / "evil.onnx"
        path.write_bytes(model.SerializeToString())
        text = refused(context, path, tmp_path / "marker")
        assert "in another file" in text or "operator" in text, name


def elsewhere(model: Any, location: str) -> None:
    import onnx

    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


def test_a_hostile_skops_file_is_refused(context: Context, tmp_path: Path) -> None:
    import os

    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    marker = tmp_path / "marker"
    skops.io.dump(
        FunctionTransformer(os.system, kw_args={"command": f"touch {marker}"}),
        tmp_path / "evil.skops",
    )
    assert "posix.system" in refused(context, tmp_path / "evil.skops", marker)
    assert_a_bundle_with_it_is_refused(
        "skops", (tmp_path / "evil.skops").read_bytes(), tmp_path, marker
    )
    with zipfile.ZipFile(tmp_path / "evil.skops", "a") as archive:
        archive.writestr("1.npy", hostile_pickle(marker))
    assert "pickle" in refused(context, tmp_path / "evil.skops", marker)


def test_safetensors_with_a_class_that_is_no_module_are_refused(
    context: Context, tmp_path: Path
) -> None:
    import safetensors.torch

    safetensors.torch.save_file(Net().state_dict(), str(tmp_path / "net.safetensors"))
    for path in ("os:system", "subprocess:Popen", "os.path", "builtins:exec", 7):
        described = {"class": path, "arguments": {"args": ["touch", str(tmp_path / "marker")]}}
        (tmp_path / "net.json").write_text(json.dumps(described))
        refused(context, tmp_path / "net.safetensors", tmp_path / "marker")


def test_a_pickle_runs_where_it_is_trusted_so_that_these_tests_can_fail(tmp_path: Path) -> None:
    from batchinfer.models.formats.pickled import open_pickle

    for make in (hostile_pickle, hostile_torch_pickle):
        marker = tmp_path / make.__name__
        with pytest.raises(ModelError):
            open_pickle(make(marker), "cpu", "pickle")
        assert marker.exists()
