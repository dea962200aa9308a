"""Hostile artefacts: whatever one would run, it makes a marker file; the marker never appears, and
the exit code is 7.
"""

from __future__ import annotations

import io
import json
import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from artefacts import (
    Net,
    Payload,
    a_frame,
    a_net,
    changed_json,
    hostile_pickle,
    hostile_torch_pickle,
    rewritten,
    save_linear_onnx,
    save_program,
    save_script,
)

from batchinfer.errors import ModelError
from batchinfer.models import manifest as manifests
from batchinfer.models.bundle import read_bundle, verify_bundle
from batchinfer.models.formats.catalogue import FORMATS
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.register import register_model

PIPELINE = """\
name: three
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, a: double, b: double, c: double, kind: string}
  key: id
  slice: ingest_date
model: {uri: "models:/three@champion"}
sink: {table: predictions/three}
"""
PROGRAM = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
MLMODEL = """\
flavors:
  python_function: {{loader_module: {loader}{more}}}
  {flavor}: {{{own}}}
"""


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest")
    save_program(folder / "net.pt2", a_net(), torch.randn(4, 3))
    save_script(folder / "net.pt", a_net())
    save_linear_onnx(folder / "sum.onnx", {"x": 3})
    return folder


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("BATCHINFER_HOME", str(tmp_path / "var"))
    file = tmp_path / "conf" / "pipelines" / "three.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(PIPELINE)
    context = Context.open(str(file))
    # What is refused is refused before the registry is touched; this one would take seconds to
    # make.
    monkeypatch.setattr(context.registry, "prepare", lambda: None)
    monkeypatch.setattr(
        context.registry, "register", lambda *_, **__: pytest.fail("a hostile model was registered")
    )
    return context


def put(name: str, data: Callable[[Path], bytes]) -> Callable[[dict[str, bytes], Path], None]:
    return lambda members, marker: members.update({name: data(marker)})


def use_pickle(config: str, kind: str) -> Callable[[dict[str, bytes], Path], None]:
    """A tensor that the archive says is pickled, or an object; its record is the payload."""

    def change(members: dict[str, bytes], marker: Path) -> None:
        folder = config.rpartition("/")[0]
        entry = {
            "path_name": f"{kind}_9",
            "is_param": False,
            "use_pickle": True,
            "tensor_meta": None,
        }
        changed_json(members, config, lambda value: value["config"].update({"evil": entry}))
        members[f"{folder}/{kind}_9"] = (
            hostile_pickle(marker) if kind == "opaque_obj" else hostile_torch_pickle(marker)
        )

    return change


def program(change: Callable[[Any, str], None]) -> Callable[[dict[str, bytes], Path], None]:
    """A graph in which some text is Python that makes the marker."""

    def changed(members: dict[str, bytes], marker: Path) -> None:
        code = f"__import__('os').system('touch {marker}')"
        changed_json(members, PROGRAM, lambda value: change(value, code))

    return changed


def rows_size(value: Any) -> Any:
    return value["graph_module"]["graph"]["tensor_values"]["features"]["sizes"][0]["as_expr"]


def first_node(value: Any) -> Any:
    return value["graph_module"]["graph"]["nodes"][0]


def root_call(value: Any) -> Any:
    return value["graph_module"]["module_call_graph"][0]["signature"]


def hidden_tree(value: Any, code: str) -> None:
    root_call(value)["in_spec"] = json.dumps(
        [
            1,
            {
                "type": "builtins.dict",
                "context": json.dumps({"__enum__": True, "fqn": "antigravity:x", "name": code}),
            },
        ]
    )


IN_PROGRAMS = {
    "weight that is a pickle": use_pickle(WEIGHTS, "weight"),
    "constant that is a pickle": use_pickle(CONSTANTS, "tensor"),
    "custom object": use_pickle(CONSTANTS, "custom_obj"),
    "opaque object": use_pickle(CONSTANTS, "opaque_obj"),
    "weights of the old layout": put("data/weights/model.pt", hostile_torch_pickle),
    "constants of the old layout": put("data/constants/model.pt", hostile_torch_pickle),
    "example inputs": put("data/sample_inputs/model.pt", hostile_torch_pickle),
    "example inputs that are no archive": put("data/sample_inputs/model.pt", hostile_pickle),
    "a second program": put("models/other.json", lambda _: b"{}"),
    "a compiled library": put("data/aotinductor/model/x.so", lambda _: b"\x7fELF"),
    "an extra pickle": put("extra/x.pkl", hostile_pickle),
    "a shape": program(lambda value, code: rows_size(value).update(expr_str=code)),
    "a shape inside of a symbol": program(lambda value,
    code: rows_size(value).update(expr_str=f'Symbol({code!r})')),
    "a shape by way of an attribute": program(lambda value,
    _: rows_size(value).update(expr_str="s0.__class__.mro()")),
    "an operator": program(lambda value, _: first_node(value).update(target="torch.os.system")),
    "an operator that writes": program(lambda value,
    _: first_node(value).update(target="torch.ops.aten.save.default")),
    "an operator that maps a file": program(
        lambda value, _: first_node(value).update(target="torch.ops.aten.from_file.default")
    ),
    "an extension": program(lambda value, _: first_node(value).update(target="#evil:x")),
    "the name of an argument": program(lambda value,
    code: root_call(value).update(forward_arg_names=[f"x=({code})"])),
    "the name of a node": program(lambda value, code: first_node(value).update(name=f"x=({code})")),
    "a tree": program(hidden_tree),
}  # fmt: skip


def refused(context: Context, artifact: Path, marker: Path) -> str:
    with pytest.raises(ModelError) as caught:
        register_model(context, str(artifact))
    assert not marker.exists(), "it ran"
    assert caught.value.exit_code == 7
    return str(caught.value)


@pytest.mark.parametrize("name", IN_PROGRAMS)
def test_a_hostile_program_is_refused(
    honest: Path, context: Context, tmp_path: Path, name: str
) -> None:
    marker = tmp_path / "marker"
    path = rewritten(
        honest / "net.pt2",
        tmp_path / "evil.pt2",
        lambda members: IN_PROGRAMS[name](members, marker),
    )
    refused(context, path, marker)
    assert_a_bundle_with_it_is_refused("torch.export", path.read_bytes(), tmp_path, marker)


def test_guards_are_never_compiled(honest: Path, tmp_path: Path) -> None:
    from batchinfer.models.formats.torch_export import open_program

    marker = tmp_path / "marker"
    guard = program(lambda value, code: value.update(guards_code=[code]))
    path = rewritten(
        honest / "net.pt2", tmp_path / "evil.pt2", lambda members: guard(members, marker)
    )
    module = open_program(path.read_bytes(), "cpu")
    module(features=torch.randn(2, 3))
    assert not marker.exists()


def assert_a_bundle_with_it_is_refused(
    format: str, data: bytes, tmp_path: Path, marker: Path
) -> None:
    """Whoever can write into the registry can make a manifest that fits."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    files = {
        "signature.json": manifests.to_bytes({"inputs": [], "outputs": []}),
        FORMATS[format].file: data,
    }
    manifest: dict[str, Any] = {
        "format": 1,
        "files": {
            name: {"sha256": manifests.sha256(one), "size": len(one)} for name, one in files.items()
        },
        "handler": {
            "class": "batchinfer.models.foreign:ForeignOutput",
            "code": {},
            "params": {"feeds": []},
            "output": {},
        },
        "module": None,
        "transforms": None,
        "packages": {},
        "facts": {},
        "artifact": {
            "format": format,
            "file": FORMATS[format].file,
            "trust": "none",
            "packages": {},
        },
    }
    manifest["digest"] = manifests.digest_of(manifest)
    for name, one in {**files, "manifest.json": manifests.to_bytes(manifest)}.items():
        (folder / name).write_bytes(one)
    verify_bundle(folder)
    with pytest.raises(ModelError):
        read_bundle(folder)
    with pytest.raises(ModelError):
        read_bundle(folder, trust="pickle")
    assert not marker.exists(), "it ran"


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


SCRIPTS = {
    "a pickle": put("data.pkl", hostile_pickle),
    "constants": put("constants.pkl", hostile_pickle),
    "code that writes a file": lambda members, marker: members.update(
        {
            name: data.replace(
                b"return ", f'torch.save(features, "{marker}")\n    return '.encode(), 1
            )
            for name, data in members.items()
            if name.endswith("artefacts.py") and name.startswith("code/")
        }
    ),
    "a class in C++": lambda members, _: members.update(
        {"code/x.py": b"x : __torch__.torch.classes.profiling.SourceRef"}
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_hostile_script_is_refused(
    honest: Path, context: Context, tmp_path: Path, name: str
) -> None:
    marker = tmp_path / "marker"
    path = rewritten(
        honest / "net.pt", tmp_path / "evil.pt", lambda members: SCRIPTS[name](members, marker)
    )
    assert path.read_bytes() != (honest / "net.pt").read_bytes()
    refused(context, path, marker)
    assert_a_bundle_with_it_is_refused("torchscript", path.read_bytes(), tmp_path, marker)


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


@pytest.mark.parametrize(
    "name", ["../marker", "/tmp/marker", "a/../../marker", "a\\..\\marker", "C:/marker", "a//b"]
)
@pytest.mark.parametrize(
    "first", ["archive/archive_format", "archive/constants.pkl", "schema.json", "archive/data.pkl"]
)
def test_names_that_lead_out_of_an_archive_are_refused(
    context: Context, tmp_path: Path, name: str, first: str
) -> None:
    path = tmp_path / "inner" / "model"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(first, b"pt2")
        archive.writestr(name, b"x")
    refused(context, path, tmp_path / "marker")
    assert not (tmp_path / "marker").exists() and not Path("/tmp/marker").exists()


@pytest.mark.parametrize(
    "first", ["archive/archive_format", "archive/constants.pkl", "schema.json", "archive/data.pkl"]
)
def test_an_archive_that_would_fill_the_memory_is_refused_unread(
    context: Context, tmp_path: Path, first: str
) -> None:
    path = tmp_path / "bomb"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(first, b"pt2")
        with archive.open("archive/zeros", "w") as member:
            for _ in range(100):
                member.write(bytes(2**20))
    text = refused(context, path, tmp_path / "marker")
    assert "unpacks to" in text


def test_two_members_of_one_name_are_refused(
    honest: Path, context: Context, tmp_path: Path
) -> None:
    path = tmp_path / "net.pt2"
    shutil.copy(honest / "net.pt2", path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(
            "net/models/MODEL.json", b"{}"
        )  # PyTorch's reader does not tell capitals apart
    assert "twice; allowed" in refused(context, path, tmp_path / "marker")


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
    assert len(a_frame()) and io.BytesIO
