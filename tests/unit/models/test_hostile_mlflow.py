"""MLflow folders whose flavours, code or links would run or read something are refused."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from artefacts import Payload, hostile_pickle, hostile_torch_pickle

from batchinfer.pipeline.definition.context import Context

from .hostile_cases import refused

MLMODEL = """\
flavors:
  python_function: {{loader_module: {loader}{more}}}
  {flavor}: {{{own}}}
"""


def a_folder(folder: Path, loader: str, flavor: str, own: str, more: str = "") -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "MLmodel").write_text(
        MLMODEL.format(loader=loader, flavor=flavor, own=own, more=more)
    )
    return folder


def test_a_hostile_mlflow_folder_is_refused(honest: Path, context: Context, tmp_path: Path) -> None:
    import cloudpickle

    marker, place = tmp_path / "marker", tmp_path / "model"
    folder = a_folder(place, "mlflow.pyfunc.model", "x", "", ", python_model: python_model.pkl")
    (folder / "python_model.pkl").write_bytes(cloudpickle.dumps(Payload(marker)))
    assert "mlflow.pyfunc.model" in refused(context, folder, marker)

    folder = a_folder(place, "evil", "x", "", ", code: code")
    (folder / "code").mkdir()
    (folder / "code" / "evil.py").write_text(
        f"open({str(marker)!r}, 'w')\ndef _load_pyfunc(path): pass\n"
    )
    assert "code of its own" in refused(context, folder, marker)

    # A flavour that is safe by itself, with code that MLflow would put first on the path.
    folder = a_folder(place, "mlflow.onnx", "onnx", "data: model.onnx, code: code", ", code: code")
    shutil.copy(honest / "sum.onnx", folder / "model.onnx")
    (folder / "code").mkdir()
    (folder / "code" / "onnx.py").write_text(f"open({str(marker)!r}, 'w')\n")
    refused(context, folder, marker)

    folder = a_folder(
        place, "mlflow.sklearn", "sklearn", "pickled_model: model.pkl, serialization_format: skops"
    )
    (folder / "model.pkl").write_bytes(hostile_pickle(marker))
    refused(context, folder, marker)

    folder = a_folder(place, "mlflow.pytorch", "pytorch", "model_data: data")
    (folder / "data").mkdir()
    (folder / "data" / "model.pth").write_bytes(hostile_torch_pickle(marker))
    refused(context, folder, marker)
    (folder / "data" / "model.pt2").write_bytes(hostile_torch_pickle(marker))
    refused(context, folder, marker)

    (folder / "MLmodel").write_text(f"!!python/object/apply:os.system ['touch {marker}']")
    assert "MLmodel is damaged" in refused(context, folder, marker)
    assert "evil" not in sys.modules


def test_a_link_in_an_mlflow_folder_is_refused(context: Context, tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "model", "mlflow.onnx", "onnx", "data: model.onnx")
    (folder / "model.onnx").symlink_to("/etc/hostname")
    assert "not a plain file" in refused(context, folder, tmp_path / "marker")
