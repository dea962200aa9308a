"""Bundles: one immutable folder that holds all that a model needs to score, under one digest.

Owns verifying and loading; how one is made is `bundle_writing`. A bundle holds numbers and names,
never code and never a pickle: its classes are imported from the environment, by paths that the
verified manifest names, and their source must be what it was. Knows no registry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from batchinfer.config.suggestions import did_you_mean, listed
from batchinfer.config.types import parse_ddl, spark_name
from batchinfer.errors import ModelError, SetupError
from batchinfer.models import manifest as manifests
from batchinfer.models.formats.catalogue import FORMATS, open_artifact

if TYPE_CHECKING:
    import torch

    from batchinfer.hinted_commands import Asked
    from batchinfer.models.formats.artifact import Trust
    from batchinfer.models.handler import Handler
    from batchinfer.models.precision import Precision
    from batchinfer.transforms import PostProcess, TransformPipeline


@dataclass(frozen=True)
class LoadedBundle:
    """A verified bundle, ready to score.

    Attributes:
        handler: with its module (eval mode, on the device), transforms and params.
        manifest: as it stands in the bundle.
        signature: `{inputs: [{name, type}], outputs: [{name, type}]}`, types as Spark SQL.
        digest: SHA-256 (hex) of the manifest.
    """

    handler: Handler
    manifest: dict[str, Any]
    signature: dict[str, Any]
    digest: str


def verify_bundle(
    folder: Path | str, expected_digest: str | None = None, asked: Asked | None = None
) -> dict[str, Any]:
    """The manifest of a bundle whose every file, and all the code it relies on, is what the
    manifest says.

    Loads no torch and runs no code of the model. Runs on: driver and executor.

    Args:
        asked: how its pipeline was asked for, for hints; None: by nobody.

    Raises:
        ModelError: anything differs; names the bundle, the file, and the digests got and expected.
    """
    manifest, contents = manifests.read_verified(Path(folder), expected_digest, asked)
    try:
        _load_transforms(manifest, contents)
        _load_postprocess(manifest, contents)
    except ModelError as error:
        raise _named(folder, error) from error
    return manifest


def read_bundle(
    folder: Path | str,
    device: str = "cpu",
    expected_digest: str | None = None,
    trust: Trust = "none",
    precision: Precision = "float32",
) -> LoadedBundle:
    """Loads a bundle after verifying it; what is loaded is the very bytes that were verified.

    With less than float32 the module is built twice, and the handler holds the two against each
    other (`precision.Lowered`).

    Runs on: driver and executor.

    Raises:
        ModelError: as `verify_bundle`; the bundle needs more trust; or classes, weights and
            transforms do not fit together; its module cannot be lowered.
        SetupError: a package that the model's format needs is not installed.
    """
    manifest, contents = manifests.read_verified(Path(folder), expected_digest)
    signature = json.loads(contents[manifests.SIGNATURE])
    try:
        manifests.check_trust(manifest, trust)
        manifests.check_precision(manifest, precision)
        handler = _build_handler(manifest, contents, signature, device)
        if precision != "float32":
            handler = _lowered(
                handler, _build_handler(manifest, contents, signature, device), precision
            )
    except ModelError as error:
        raise _named(folder, error) from error
    except SetupError:
        raise
    except Exception as error:  # the constructor of a user's class may raise anything
        raise ModelError(f"bundle {folder}: cannot be loaded: {error}") from error
    return LoadedBundle(handler, manifest, signature, manifest["digest"])


def _lowered(handler: Handler, exact: Handler, precision: Precision) -> Handler:
    from batchinfer.models.precision import Lowered, lower

    if handler.module is None:
        word, allowed = manifests.setting_of(precision)
        raise ModelError(
            f"model.{word}: got {precision}; the handler keeps no module as its own; allowed: "
            f"{allowed}"
        )
    lower(handler.module, precision)
    return Lowered(handler, exact, precision)


def _named(folder: Path | str, error: ModelError) -> ModelError:
    return ModelError([f"bundle {folder}: {problem}" for problem in error.problems], error.hint)


def _build_handler(
    manifest: Mapping[str, Any],
    contents: Mapping[str, bytes],
    signature: Mapping[str, Any],
    device: str,
) -> Handler:
    from batchinfer.models.handler import Handler, Postprocessed
    from batchinfer.models.mlp import load_class

    class_ = load_class(manifest["handler"]["class"], Handler)
    columns = tuple(column["name"] for column in signature["inputs"])
    module = _open_module(manifest, contents, device)
    transforms, params = _load_transforms(manifest, contents), manifest["handler"]["params"]
    handed = manifest.get(manifests.HANDED)
    if handed is None or transforms is None:
        handler = class_(module, transforms, params, columns)
    else:
        from batchinfer.models.deriving import Deriving, HandedColumns

        inner = class_(module, None, params, tuple(handed))
        handler = Deriving(inner, HandedColumns(transforms, handed))
    if dict(handler.output) != manifest["handler"]["output"]:
        raise ModelError(
            f"handler {manifest['handler']['class']}: got output {dict(handler.output)}; expected "
            f"{manifest['handler']['output']}"
        )
    steps = _load_postprocess(manifest, contents)
    return handler if steps is None else Postprocessed(handler, steps)


def _open_module(
    manifest: Mapping[str, Any], contents: Mapping[str, bytes], device: str
) -> torch.nn.Module | None:
    """The module of whichever format; None for a handler that has none."""
    artifact = manifest.get(manifests.ARTIFACT)
    if artifact:
        # As much trust as the bundle needs: `check_trust` has asked whether it may have it.
        return open_artifact(
            artifact["format"],
            contents[FORMATS[artifact["format"]].file],
            device,
            artifact["trust"],
            artifact.get("reading", 1),
        )
    return _load_module(manifest, contents, device) if manifest["module"] else None


def _load_module(
    manifest: Mapping[str, Any], contents: Mapping[str, bytes], device: str
) -> torch.nn.Module:
    import safetensors.torch

    from batchinfer.models.device_layout import to_channels_last
    from batchinfer.models.mlp import build_module

    described = json.loads(contents[manifests.MODULE])
    if described["class"] != manifest["module"]["class"]:
        raise ModelError(
            f"{manifests.MODULE}: got class {described['class']}; expected "
            f"{manifest['module']['class']}"
        )
    module = build_module(described["class"], described["arguments"])
    module.load_state_dict(safetensors.torch.load(contents[manifests.WEIGHTS]), strict=True)
    if device != "cpu":
        to_channels_last(module)
    return module.to(device).eval()


def _load_transforms(
    manifest: Mapping[str, Any], contents: Mapping[str, bytes]
) -> TransformPipeline | None:
    if manifest["transforms"] is None:
        return None
    from batchinfer.transforms import TransformPipeline

    try:
        transforms = TransformPipeline.from_json(json.loads(contents[manifests.TRANSFORMS]))
    except ModelError as error:
        raise ModelError(
            [f"{manifests.TRANSFORMS}: {problem}" for problem in error.problems], error.hint
        ) from error
    got, expected = manifests.transforms_entry(transforms), manifest["transforms"]
    if got != expected:
        raise ModelError(
            f"{manifests.TRANSFORMS}: got digest {got['digest']}; expected {expected['digest']}"
        )
    return transforms


def _load_postprocess(
    manifest: Mapping[str, Any], contents: Mapping[str, bytes]
) -> PostProcess | None:
    entry = manifest.get("postprocess")
    if entry is None:
        return None
    from batchinfer.transforms import PostProcess

    try:
        steps = PostProcess.from_json(json.loads(contents[manifests.POSTPROCESS]))
    except ModelError as error:
        raise ModelError(
            [f"{manifests.POSTPROCESS}: {problem}" for problem in error.problems], error.hint
        ) from error
    if (got := manifests.postprocess_entry(steps)["postprocess"]) != entry:
        raise ModelError(
            f"{manifests.POSTPROCESS}: got digest {got['digest']}; expected {entry['digest']}"
        )
    return steps


def read_steps(folder: Path | str) -> tuple[TransformPipeline | None, PostProcess | None]:
    """The fitted transforms and the steps after the model of a bundle, which is verified as by
    `verify_bundle`.

    Runs on: driver.

    Raises:
        ModelError: as `verify_bundle`.
    """
    manifest, contents = manifests.read_verified(Path(folder))
    return _load_transforms(manifest, contents), _load_postprocess(manifest, contents)


def read_signature(folder: Path | str) -> dict[str, Any]:
    """The signature of a bundle, which is verified as by `verify_bundle`.

    Runs on: driver and executor.

    Raises:
        ModelError: as `verify_bundle`.
    """
    return json.loads(manifests.read_verified(Path(folder))[1][manifests.SIGNATURE])


def check_signature(signature: Mapping[str, Any], fields: Mapping[str, pa.DataType]) -> list[str]:
    """Differences between the inputs that a signature names and the columns at hand; other columns
    do not matter.

    Runs on: driver.
    """
    problems = []
    for column in signature["inputs"]:
        name, expected = column["name"], column["type"]
        if name not in fields:
            problems.append(
                f"column {name}: expected {expected}, got no such "
                f"column{did_you_mean(name, fields)}; there are: {listed(fields)}"
            )
        elif (got := _type_name(fields[name])) != spark_name(parse_ddl(expected)):
            problems.append(f"column {name}: expected {expected}, got {got}")
    return problems


def _type_name(type_: pa.DataType) -> str:
    if isinstance(type_, pa.DictionaryType):
        return _type_name(type_.value_type)
    try:
        return spark_name(type_)
    except ValueError:  # no Spark type at all, which is a difference like any other
        return str(type_)
