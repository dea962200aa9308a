"""Makes a bundle: its files, its manifest and their digest, put into place whole or not at all.

Owns what a new bundle holds; that it can be read again is held against `bundle`. Knows no registry.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.errors import ModelError, StorageError
from batchinfer.models import manifest as manifests
from batchinfer.models.bundle import read_bundle, verify_bundle
from batchinfer.models.formats.catalogue import FORMATS, READING
from batchinfer.models.source_code import class_path, code_digests

if TYPE_CHECKING:
    import torch

    from batchinfer.models.formats.artifact import Artifact, Trust
    from batchinfer.models.handler import Handler
    from batchinfer.transforms import PostProcess, TransformPipeline

_PACKAGES = ("batchinfer", "torch", "numpy", "pyarrow", "safetensors")


def write_bundle(
    folder: Path | str,
    *,
    handler: Handler,
    module: torch.nn.Module | None,
    transforms: TransformPipeline | None,
    signature: Mapping[str, Any],
    facts: Mapping[str, Any],
    artifact: Artifact | None = None,
    trust: Trust = "none",
    postprocess: PostProcess | None = None,
    handed: Sequence[str] = (),
) -> str:
    """Writes a bundle whole or not at all, reads it back, and returns its digest (SHA-256, hex).

    `facts` is JSON-able and stands in the manifest: training table and version, metrics. A model of
    another format is an `artifact` instead of a `module`; `trust` is what loading it needs.
    `postprocess` are the steps after the model, which the outputs of the signature are the result
    of. `handed` are the columns that the handler takes in place of the signature's inputs: the
    transforms then begin with `derive`, which makes some of them. The same inputs give the same
    digest. Runs on: driver.

    Raises:
        ModelError: a class cannot be imported by its path, the module cannot be built again, the
            folder holds something else.
        StorageError: the folder cannot be written.
    """
    folder = Path(folder)
    files = _contents(module, transforms, signature, postprocess)
    if artifact is not None:
        files[FORMATS[artifact.format].file] = artifact.data
    manifest = _manifest(files, handler, module, transforms, facts)
    manifest |= _artifact_entry(artifact, trust) | manifests.postprocess_entry(postprocess)
    manifest |= {manifests.HANDED: list(handed)} if handed else {}
    manifest["digest"] = manifests.digest_of(manifest)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder.parent))
        try:
            for name, data in {**files, manifests.MANIFEST: manifests.to_bytes(manifest)}.items():
                (staged / name).write_bytes(data)
            # A bundle that cannot be loaded is found now, by whoever makes it, and not at night by
            # the run that needs it.
            read_bundle(staged, expected_digest=manifest["digest"], trust=trust)
            _put(staged, folder, manifest["digest"])
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    except OSError as error:
        if isinstance(error, ModelError):
            raise
        raise StorageError(
            f"bundle {folder} cannot be written: {error.strerror or error}"
        ) from error
    return manifest["digest"]


def _put(staged: Path, folder: Path, digest: str) -> None:
    if folder.exists() and any(folder.iterdir()):
        found = verify_bundle(folder)["digest"]
        if found != digest:
            raise ModelError(
                f"the folder {folder} already holds another bundle: got digest {found}; to be "
                f"written: {digest}"
            )
        return
    staged.chmod(0o755)
    staged.replace(folder)


def _contents(
    module: torch.nn.Module | None,
    transforms: TransformPipeline | None,
    signature: Mapping[str, Any],
    postprocess: PostProcess | None,
) -> dict[str, bytes]:
    files = {manifests.SIGNATURE: manifests.to_bytes(signature)}
    if postprocess is not None:
        files[manifests.POSTPROCESS] = manifests.to_bytes(postprocess.to_json())
    if transforms is not None:
        files[manifests.TRANSFORMS] = manifests.to_bytes(transforms.to_json())
    if module is not None:
        import safetensors.torch

        from batchinfer.models.mlp import arguments_of

        # Clones, because safetensors refuses tensors that share memory.
        state = {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in module.state_dict().items()
        }
        files[manifests.WEIGHTS] = safetensors.torch.save(state)
        files[manifests.MODULE] = manifests.to_bytes(
            {"class": class_path(type(module)), "arguments": arguments_of(module)}
        )
    return files


def _manifest(
    files: Mapping[str, bytes],
    handler: Handler,
    module: torch.nn.Module | None,
    transforms: TransformPipeline | None,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "format": manifests.FORMAT,
        "files": {
            name: {"sha256": manifests.sha256(data), "size": len(data)}
            for name, data in files.items()
        },
        "handler": {
            "class": class_path(type(handler)),
            "code": code_digests(type(handler)),
            "params": handler.params,
            "output": dict(handler.output),
        },
        "module": None
        if module is None
        else {"class": class_path(type(module)), "code": code_digests(type(module))},
        "transforms": None if transforms is None else manifests.transforms_entry(transforms),
        "packages": {name: _version(name) for name in _PACKAGES},
        "facts": dict(facts),
    }
    # Through JSON once, so that tuples and lists, which JSON does not tell apart, give one digest.
    manifest = json.loads(manifests.to_bytes(manifest))
    return {**manifest, "digest": manifests.digest_of(manifest)}


def _artifact_entry(artifact: Artifact | None, trust: Trust) -> dict[str, Any]:
    """Empty where there is none: the digests of bundles of weights and a class stay what they
    were.
    """
    if artifact is None:
        return {}
    format = FORMATS[artifact.format]
    packages = {name: _version(name) for name in format.packages}
    return {
        manifests.ARTIFACT: {
            "format": artifact.format,
            "file": format.file,
            "trust": trust,
            "packages": packages,
            "reading": READING,
        }
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # shipped as plain files, as to a cluster
        return "unknown"
