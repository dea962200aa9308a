"""The manifest of a bundle: which files there are, their digests, and the code they rely on.

Owns the rules by which a bundle counts as whole. Must not import torch or run any code of a bundle:
the driver verifies a bundle before anything is loaded.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.contracts import CHAMPION
from batchinfer.errors import ModelError
from batchinfer.hinted_commands import Asked
from batchinfer.hints import Hint
from batchinfer.models.formats.catalogue import FORMATS
from batchinfer.models.source_code import source_digest

if TYPE_CHECKING:
    from batchinfer.transforms import PostProcess, TransformPipeline

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
MODULE = "module.json"
TRANSFORMS = "transforms.json"
SIGNATURE = "signature.json"
POSTPROCESS = "postprocess.json"
# A model of another format, and its file: `{format, file, trust, packages, reading}`; absent from
# bundles of weights and a class. `reading` (absent: 1) is how it is asked, see
# `catalogue.READING`.
ARTIFACT = "artifact"
# The columns that the handler is handed, where some of them are derived of the signature's inputs;
# absent from all other bundles.
HANDED = "handed"
_KNOWN = (WEIGHTS, MODULE, TRANSFORMS, SIGNATURE, POSTPROCESS)


def to_bytes(value: Any) -> bytes:
    """Canonical JSON: sorted keys, two spaces, one line end; equal values give equal bytes.

    Runs on: driver.

    Raises:
        ModelError: the value holds something that JSON has no word for, NaN included.
    """
    try:
        return (
            json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        ).encode()
    except (TypeError, ValueError) as error:
        raise ModelError(f"a bundle holds JSON only: {error}") from error


def digest_of(manifest: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the canonical manifest without its own `digest` field.

    Runs on: driver and executor.
    """
    return sha256(to_bytes({name: value for name, value in manifest.items() if name != "digest"}))


def sha256(data: bytes) -> str:
    """SHA-256 (hex) of bytes."""
    return hashlib.sha256(data).hexdigest()


def read_verified(
    folder: Path, expected_digest: str | None = None, asked: Asked | None = None
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the bytes of every file of a bundle, verified: what is returned is what was
    hashed.

    Args:
        asked: how its pipeline was asked for; None: by nobody.

    Runs on: driver and executor.

    Raises:
        ModelError: a file is missing, extra, changed or no plain file; the manifest is not the
            expected one; the code of the handler, the module or a transform changed. Every problem
            is named.
    """
    try:
        contents = _read_files(folder)
        manifest = _parse_manifest(folder, contents.pop(MANIFEST))
    except ModelError as error:
        error.hint = _hint({}, asked)
        raise
    if expected_digest is not None and manifest["digest"] != expected_digest:
        raise ModelError(
            f"bundle {folder}: {MANIFEST}: got digest {manifest['digest']}; expected "
            f"{expected_digest}"
        )
    problems = _check_files(manifest["files"], contents) or check_code(manifest)
    if problems:
        raise ModelError(
            [f"bundle {folder}: {problem}" for problem in problems], _hint(manifest, asked)
        )
    return manifest, contents


def remake_command(
    manifest: Mapping[str, Any], asked: Asked | None = None, alias: str = CHAMPION
) -> str | None:
    """The command that makes the next version of a bundle's model in the way that this one was
    made; None where the bundle does not say which.

    Args:
        asked: how the pipeline was asked for; None: the one that the bundle was made for, by name.
        alias: to give to that version; empty: none.
    """
    facts = manifest.get("facts") or {}
    asked = asked or _maker(manifest)
    if asked is None:
        return None
    if "training_table" in facts:
        return replace(asked, trains=True).version_command(alias)
    artifact = (facts.get("artifact") or {}).get("name")
    handler = (manifest.get("handler") or {}).get("class", "")
    if artifact is None and handler and not handler.startswith("batchinfer."):
        artifact = handler
    if artifact is None:
        return None
    return asked.command("register", "--artifact", artifact, *(["--alias", alias] if alias else []))


def _maker(manifest: Mapping[str, Any]) -> Asked | None:
    """The pipeline that a bundle was made for, by its name; None where the bundle does not say."""
    name = (manifest.get("facts") or {}).get("pipeline")
    return Asked(name) if name else None


def _hint(manifest: Mapping[str, Any], asked: Asked | None) -> str:
    asked = asked or _maker(manifest)
    if asked is None:
        return (
            "Make the version again with train, or with register if it was trained elsewhere; or "
            "go back to a version that is whole with models."
        )
    again = remake_command(manifest, asked) or asked.version_command()
    listing = asked.command("models")
    return Hint(again, " makes the version again; or go back to one that is whole: ", listing)


def _read_files(folder: Path) -> dict[str, bytes]:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise ModelError(f"bundle {folder}: the folder cannot be read: {error.strerror}") from error
    if MANIFEST not in names:
        raise ModelError(
            f"bundle {folder}: {MANIFEST}: missing; the folder holds "
            f"{', '.join(names) or 'nothing'}",
        )
    allowed = (MANIFEST, *_KNOWN, *(format.file for format in FORMATS.values()))
    extra = [name for name in names if name not in allowed]
    if extra:
        raise ModelError(
            [
                f"bundle {folder}: {name}: extra; a bundle holds only {', '.join(allowed)}"
                for name in extra
            ]
        )
    return {name: _read_file(folder, name) for name in names}


def _read_file(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        # A link or a pipe in place of a file could change between two readings, or never end.
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ModelError(f"bundle {folder}: {name}: not a plain file")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"bundle {folder}: {name}: cannot be read: {error.strerror}") from error


def _parse_manifest(folder: Path, data: bytes) -> dict[str, Any]:
    def damaged(what: str) -> ModelError:
        return ModelError(f"bundle {folder}: {MANIFEST}: {what}")

    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise damaged(f"damaged: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("digest"), str):
        raise damaged("damaged: no digest in it")
    if manifest.get("format") != FORMAT:
        raise damaged(f"got format {manifest.get('format')!r}; allowed: {FORMAT}")
    got = digest_of(manifest)
    if got != manifest["digest"]:
        raise damaged(f"got digest {got}; expected {manifest['digest']}")
    if to_bytes(manifest) != data:
        raise damaged("damaged: not in canonical form")
    return manifest


def _check_files(
    files: Mapping[str, Mapping[str, Any]], contents: Mapping[str, bytes]
) -> list[str]:
    problems = [
        f"{name}: missing; expected sha256 {files[name]['sha256']}"
        for name in files
        if name not in contents
    ]
    for name, data in contents.items():
        if name not in files:
            problems.append(f"{name}: extra; the manifest does not name it")
        elif sha256(data) != files[name]["sha256"]:
            problems.append(
                f"{name}: got sha256 {sha256(data)} ({len(data)} bytes); "
                f"expected {files[name]['sha256']} ({files[name]['size']} bytes)"
            )
    return problems


def transforms_entry(transforms: TransformPipeline) -> dict[str, Any]:
    """What the manifest says of fitted transforms."""
    return {
        "digest": transforms.digest(),
        "versions": {step.name: step.version for step in transforms.steps},
    }


def postprocess_entry(postprocess: PostProcess | None) -> dict[str, Any]:
    """Nothing without steps, so that bundles made before there were any keep their digest."""
    if postprocess is None:
        return {}
    return {
        "postprocess": {
            "digest": postprocess.digest(),
            "versions": {step.name: step.version for step in postprocess.steps},
        }
    }


def format_of(manifest: Mapping[str, Any]) -> str:
    """Name of the format of a bundle's model: `safetensors`, or one of `formats.catalogue`."""
    return manifest[ARTIFACT]["format"] if manifest.get(ARTIFACT) else "safetensors"


def check_trust(manifest: Mapping[str, Any], trust: str) -> None:
    """Refuses a bundle that can run code of its own, unless it is trusted. Loads nothing.

    Runs on: driver and executor.

    Raises:
        ModelError: the bundle needs `trust: pickle`, and that was not said.
    """
    needed = (manifest.get(ARTIFACT) or {}).get("trust", "none")
    if needed != "none" and needed != trust:
        raise ModelError(
            f"the bundle holds a model of the format {format_of(manifest)}, which may run code of "
            "its own when it is loaded; "
            f"got trust: {trust}, it needs trust: {needed}",
            "Only if you know who made it, say `model: {trust: pickle}` in the pipeline file "
            '(in Python: batchinfer.predict(…, trust="pickle")).',
        )


def setting_of(precision: str) -> tuple[str, str]:
    """The word below `model` that asks for what a model computes in, and its value for float32."""
    return ("quantize", "none") if precision == "int8" else ("precision", "float32")


def check_precision(manifest: Mapping[str, Any], precision: str) -> None:
    """Refuses to lower what cannot be: only a module that is built from its class and weights has
    types that may be changed.

    Runs on: driver and executor.

    Raises:
        ModelError: a model of another format, or a handler without a module.
    """
    if precision != "float32" and not manifest["module"]:
        word, allowed = setting_of(precision)
        raise ModelError(
            f"model.{word}: got {precision}; the bundle holds {_other_than_a_module(manifest)}, "
            f"whose types are fixed; allowed: {allowed}",
            _OF_WEIGHTS,
        )


def check_compile(manifest: Mapping[str, Any], compile_: bool) -> None:
    """Refuses to compile what PyTorch's compiler does not take: only a module that is built from
    its class is Python.

    Runs on: driver and executor.

    Raises:
        ModelError: a model of another format, or a handler without a module.
    """
    if compile_ and not manifest["module"]:
        raise ModelError(
            f"model.compile: got true; the bundle holds {_other_than_a_module(manifest)}, which is "
            "no Python that could be "
            "compiled; allowed: false",
            _OF_WEIGHTS,
        )


_OF_WEIGHTS = "weights and their class are such a module: register a .safetensors file"


def _other_than_a_module(manifest: Mapping[str, Any]) -> str:
    return (
        f"a model of the format {format_of(manifest)}"
        if manifest.get(ARTIFACT)
        else "a handler without a module"
    )


def check_code(manifest: Mapping[str, Any]) -> list[str]:
    """Problems of the code that a manifest names: what changed since the bundle was made. Runs none
    of that code.

    Runs on: driver and executor.
    """
    problems = []
    for role in ("handler", "module"):
        for place, expected in (manifest[role] or {"code": {}})["code"].items():
            try:
                got = source_digest(place)
            except ModelError as error:
                problems.extend(
                    f"{role} {manifest[role]['class']}: {problem}" for problem in error.problems
                )
                continue
            if got != expected:
                problems.append(
                    f"{role} {manifest[role]['class']}: the code of {place} changed: got sha256 "
                    f"{got}; expected {expected}"
                )
    return problems
