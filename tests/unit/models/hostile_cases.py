"""What the tests of hostile artefacts share: members put into an archive, and the two refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchinfer.errors import ModelError
from batchinfer.models import manifest as manifests
from batchinfer.models.bundle import read_bundle, verify_bundle
from batchinfer.models.formats.catalogue import FORMATS
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.register import register_model


def put(name: str, data: Callable[[Path], bytes]) -> Callable[[dict[str, bytes], Path], None]:
    return lambda members, marker: members.update({name: data(marker)})


def refused(context: Context, artifact: Path, marker: Path) -> str:
    with pytest.raises(ModelError) as caught:
        register_model(context, str(artifact))
    assert not marker.exists(), "it ran"
    assert caught.value.exit_code == 7
    return str(caught.value)


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
