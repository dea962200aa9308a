"""Bundles: what is loaded is what was written, and nothing that differs from the manifest is ever
loaded.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.errors import ModelError, StorageError
from batchinfer.models import manifest as manifests
from batchinfer.models.bundle import check_signature, read_bundle, verify_bundle
from batchinfer.models.bundle_writing import write_bundle
from batchinfer.models.handler import BinaryClassifier, Handler
from batchinfer.models.mlp import Mlp, build_module

FEATURES = 3
SIGNATURE = {
    "inputs": [{"name": name, "type": "double"} for name in ("a", "b", "c")],
    "outputs": [{"name": "score", "type": "double"}, {"name": "label", "type": "string"}],
}
FILES = ("manifest.json", "module.json", "signature.json", "weights.safetensors")


def a_module(seed: int = 1) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_module(
        "batchinfer.models.mlp:Mlp",
        {"features": FEATURES, "outputs": 1, "hidden": [4], "dropout": 0.5},
    ).eval()


def write(
    folder: Path,
    module: torch.nn.Module | None = None,
    handler: Handler | None = None,
    **facts: object,
) -> str:
    module = module or a_module()
    handler = handler or BinaryClassifier(module, None, {"positive": ">50K"}, ("a", "b", "c"))
    return write_bundle(
        folder, handler=handler, module=module, transforms=None, signature=SIGNATURE, facts=facts
    )


def a_batch(rows: int = 7) -> pa.RecordBatch:
    generator = np.random.default_rng(3)
    return pa.record_batch({name: generator.normal(size=rows) for name in ("a", "b", "c")})


def score(handler: Handler, batch: pa.RecordBatch) -> dict[str, pa.Array]:
    return handler.decode(handler.forward(handler.encode(batch)))


def test_a_bundle_scores_bit_for_bit_as_the_model_it_was_made_of(tmp_path: Path) -> None:
    module = a_module()
    handler = BinaryClassifier(module, None, {"positive": ">50K"}, ("a", "b", "c"))
    digest = write(tmp_path / "bundle", module, handler, rows=5)
    loaded = read_bundle(tmp_path / "bundle", expected_digest=digest)
    assert (
        loaded.digest == digest
        and loaded.signature == SIGNATURE
        and loaded.manifest["facts"] == {"rows": 5}
    )
    assert score(loaded.handler, a_batch()) == score(handler, a_batch())
    assert set(score(loaded.handler, a_batch(200))["label"].to_pylist()) == {">50K", "other"}
    assert loaded.handler.module is not None and not loaded.handler.module.training


def test_equal_contents_give_one_digest_and_other_contents_another(tmp_path: Path) -> None:
    first = write(tmp_path / "one", rows=5)
    assert write(tmp_path / "two", rows=5) == first == write(tmp_path / "one", rows=5)
    assert write(tmp_path / "three", rows=6) != first
    assert write(tmp_path / "four", a_module(seed=2), rows=5) != first
    assert sorted([path.name for path in (tmp_path / "one").iterdir()]) == sorted(FILES)


def test_a_folder_that_holds_another_bundle_is_left_alone(tmp_path: Path) -> None:
    first = write(tmp_path / "bundle", rows=5)
    with pytest.raises(ModelError, match="already holds another bundle"):
        write(tmp_path / "bundle", rows=6)
    assert verify_bundle(tmp_path / "bundle")["digest"] == first
    assert [path.name for path in (tmp_path).iterdir()] == ["bundle"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole") / "bundle"
    write(folder)
    return {name: (folder / name).read_bytes() for name in FILES}


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(FILES), place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255)
)
def test_any_flipped_byte_in_any_file_is_found(
    whole: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    place: float,
    flip: int,
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    for other, data in whole.items():
        (folder / other).write_bytes(data)
    data = bytearray(whole[name])
    data[int(place * len(data))] ^= flip
    (folder / name).write_bytes(data)
    with pytest.raises(ModelError) as caught:
        read_bundle(folder)
    assert str(folder) in str(caught.value) and name in str(caught.value)
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / "bundle")
    (tmp_path / "bundle" / name).unlink()
    with pytest.raises(ModelError, match=f"{name}: missing"):
        verify_bundle(tmp_path / "bundle")


def test_a_missing_folder_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["weights.pkl", "transforms.json", "__init__.py"])
def test_an_extra_file_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / "bundle")
    (tmp_path / "bundle" / name).write_text("{}")
    with pytest.raises(ModelError, match=f"{name}: extra"):
        verify_bundle(tmp_path / "bundle")


def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    weights = tmp_path / "bundle" / "weights.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="not a plain file"):
        read_bundle(tmp_path / "bundle")


def test_another_whole_bundle_is_not_the_expected_one(tmp_path: Path) -> None:
    got, expected = write(tmp_path / "one"), write(tmp_path / "two", rows=1)
    with pytest.raises(ModelError, match=f"got digest {got}; expected {expected}"):
        verify_bundle(tmp_path / "one", expected)


def mend(folder: Path, change: dict[str, object]) -> None:
    """What somebody does who knows how a manifest is made: it is whole by itself, only not the
    registered one.
    """
    manifest = json.loads((folder / "manifest.json").read_bytes()) | change
    manifest["digest"] = manifests.digest_of(manifest)
    (folder / "manifest.json").write_bytes(manifests.to_bytes(manifest))


class _Marker:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_a_pickle_in_place_of_the_weights_never_runs(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    hostile = pickle.dumps(_Marker(marker))
    write(tmp_path / "bundle")
    files = json.loads((tmp_path / "bundle" / "manifest.json").read_bytes())["files"]
    files["weights.safetensors"] = {"sha256": manifests.sha256(hostile), "size": len(hostile)}
    # Mended, so that only the loader stands between the pickle and its victim.
    mend(tmp_path / "bundle", {"files": files})
    (tmp_path / "bundle" / "weights.safetensors").write_bytes(hostile)
    verify_bundle(tmp_path / "bundle")
    with pytest.raises(ModelError, match="cannot be loaded"):
        read_bundle(tmp_path / "bundle")
    assert not marker.exists()
    pickle.loads(hostile)
    assert marker.exists()


def test_a_manifest_cannot_make_room_for_a_file_of_another_kind(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    (tmp_path / "bundle" / "hook.py").write_bytes(b"")
    files = json.loads((tmp_path / "bundle" / "manifest.json").read_bytes())["files"]
    mend(
        tmp_path / "bundle",
        {"files": {**files, "hook.py": {"sha256": manifests.sha256(b""), "size": 0}}},
    )
    with pytest.raises(ModelError, match=r"hook\.py: extra"):
        verify_bundle(tmp_path / "bundle")


def test_a_manifest_that_says_the_same_in_other_bytes_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    path = tmp_path / "bundle" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_bytes())))
    with pytest.raises(ModelError, match="not in canonical form"):
        verify_bundle(tmp_path / "bundle")


def test_a_bundle_of_another_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    mend(tmp_path / "bundle", {"format": 2})
    with pytest.raises(ModelError, match="got format 2; allowed: 1"):
        verify_bundle(tmp_path / "bundle")


@pytest.mark.parametrize(
    "path", ["os:system", "subprocess:Popen", "batchinfer.models.mlp:Mlp", "no_such_module:Thing"]
)
def test_only_a_handler_is_loaded_as_the_handler(tmp_path: Path, path: str) -> None:
    write(tmp_path / "bundle")
    handler = json.loads((tmp_path / "bundle" / "manifest.json").read_bytes())["handler"]
    mend(tmp_path / "bundle", {"handler": {**handler, "class": path, "code": {}}})
    with pytest.raises(ModelError, match=path):
        read_bundle(tmp_path / "bundle")


OWN_CODE = """
import pyarrow as pa
import torch

from batchinfer.models.handler import BinaryClassifier

print("imported")
SHIFT = {shift}


class Shifted(BinaryClassifier):
    def forward(self, tensors):
        return super().forward(tensors) + SHIFT


class Net(torch.nn.Module):
    def __init__(self, features, outputs, width=2):
        super().__init__()
        first, second = torch.nn.Linear(features, width), torch.nn.Linear(width, outputs)
        self.layers = torch.nn.Sequential(first, second)

    def forward(self, features):
        return self.layers(features)
"""


def test_changed_code_beside_a_class_of_the_users_own_is_found_before_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_code.py").write_text(OWN_CODE.format(shift=0.25))
    module = build_module("own_code:Net", {"features": FEATURES, "outputs": 1, "width": 5})
    handler = sys.modules["own_code"].Shifted(module, None, {}, ("a", "b", "c"))
    digest = write(tmp_path / "bundle", module.eval(), handler)
    assert score(read_bundle(tmp_path / "bundle").handler, a_batch()) == score(handler, a_batch())
    (tmp_path / "own_code.py").write_text(OWN_CODE.format(shift=0.5))
    with pytest.raises(
        ModelError, match=r"the code of own_code changed: got sha256 .*; expected"
    ) as caught:
        verify_bundle(tmp_path / "bundle", digest)
    assert "Shifted" in str(caught.value) and "Net" in str(caught.value)
    code = "import sys; from batchinfer.models.bundle import read_bundle; read_bundle(sys.argv[1])"
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bundle")],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    assert "the code of own_code changed" in ran.stderr and ran.stdout == ""


def test_changed_code_of_a_built_in_class_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batchinfer.models import source_code

    write(tmp_path / "bundle")
    read_source = source_code._source
    monkeypatch.setattr(
        source_code,
        "_source",
        lambda module: read_source(module).replace("torch.sigmoid(", "torch.tanh("),
    )
    with pytest.raises(
        ModelError, match=r"the code of batchinfer.models.handler:BinaryClassifier changed"
    ):
        verify_bundle(tmp_path / "bundle")


def test_a_class_that_cannot_be_imported_by_its_path_is_refused(tmp_path: Path) -> None:
    class Local(BinaryClassifier):
        pass

    with pytest.raises(ModelError, match="cannot be imported by its path"):
        write(tmp_path / "bundle", a_module(), Local(a_module()))
    with pytest.raises(ModelError, match="not built by build_module"):
        write(tmp_path / "bundle", Mlp(FEATURES, 1))


def test_a_module_that_cannot_be_built_again_is_found_at_writing(tmp_path: Path) -> None:
    module = a_module()
    vars(module)["batchinfer_arguments"] = {"features": FEATURES + 1, "outputs": 1, "hidden": [4]}
    with pytest.raises(ModelError, match="size mismatch"):
        write(tmp_path / "bundle", module)
    assert [path.name for path in (tmp_path).iterdir()] == []


def test_facts_that_json_has_no_word_for_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="JSON only"):
        write(tmp_path / "bundle", metric=float("nan"))


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write(tmp_path / "file" / "bundle")


def test_verifying_loads_no_torch(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    code = (
        "import sys; from batchinfer.models.bundle import verify_bundle as v; v(sys.argv[1]); "
        "print('torch' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bundle")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "False"


def test_a_signature_is_compared_by_name_and_type() -> None:
    fields = {"a": pa.float64(), "b": pa.int32(), "extra": pa.string()}
    assert check_signature({"inputs": [{"name": "a", "type": "double"}]}, fields) == []
    assert check_signature(SIGNATURE, fields) == [
        "column b: expected double, got int",
        "column c: expected double, got no such column; there are: a, b, extra",
    ]
    assert (
        check_signature(
            {"inputs": [{"name": "s", "type": "string"}]},
            {"s": pa.dictionary(pa.int32(), pa.large_string())},
        )
        == []
    )
