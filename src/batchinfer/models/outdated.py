"""Bundles of earlier builds that ask their model in a way that can be wrong: they score as they did
when they were registered, and whoever runs them is told.

Owns which kinds these are, and the sentences about them. Loads no model, and knows no registry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchinfer.config.suggestions import listed
from batchinfer.contracts import CHAMPION
from batchinfer.errors import ModelError
from batchinfer.hinted_commands import Asked
from batchinfer.models.bundle import read_steps
from batchinfer.models.formats.catalogue import FORMATS, PICKLE, READING
from batchinfer.models.manifest import ARTIFACT, SIGNATURE, remake_command

# Formats of which a bundle of an earlier build can be outdated.
OUTDATED_FORMATS = ("onnx", "skops", PICKLE, "mlflow")
_CLASSIFIER, _COLUMNS = ":ForeignClassifier", ":ForeignColumns"
_FRAME = "frame"
# How trees are called in the bytes: modules of the libraries, operators of ONNX.
_TREES = {
    "onnx": (b"TreeEnsemble",),
    "skops": (b"sklearn.tree.", b"_hist_gradient_boosting", b"xgboost", b"lightgbm"),
}
_TREES[PICKLE] = _TREES["skops"]
_SHOWN = 5


def is_outdated(manifest: Mapping[str, Any]) -> bool:
    """Whether the bundle asks a model trained elsewhere as earlier builds did, right or wrong.

    Runs on: driver.
    """
    artifact = manifest.get(ARTIFACT) or {}
    return artifact.get("format") in OUTDATED_FORMATS and artifact.get("reading", 1) < READING


def read_outdated(
    folder: Path, manifest: Mapping[str, Any], asked: Asked | None = None, alias: str = CHAMPION
) -> list[str]:
    """What can be wrong in what a bundle says, a sentence each, with the command that registers its
    model anew; none for a bundle of this build.

    Args:
        folder: of the bundle, which has been verified.
        asked: how the pipeline was asked for; None: the one that the bundle was made for, by name.
        alias: to give to the new version; empty: none.

    Runs on: driver.

    Raises:
        ModelError: its steps are of another release.
    """
    if not is_outdated(manifest):
        return []
    from batchinfer.models.elsewhere.feeds import FEATURES, unfilled_columns

    signature = json.loads((folder / SIGNATURE).read_bytes())
    artefact, unfilled = b"", list[str]()
    if any(feed.get("tensor") == FEATURES for feed in _feeds(manifest)):
        artefact = (folder / FORMATS[manifest[ARTIFACT]["format"]].file).read_bytes()
        transforms, _ = read_steps(folder)
        unfilled = unfilled_columns(transforms) if transforms else []
    ways = outdated_ways(manifest, signature, artefact, unfilled)
    command = remake_command(manifest, asked, alias)
    if command is None and asked is not None:
        command = replace(asked, trains=False).version_command(alias)
    command = command or "register"
    return [f"{way}; {command} registers it anew" for way in ways]


def outdated_ways(
    manifest: Mapping[str, Any],
    signature: Mapping[str, Any],
    artefact: bytes,
    unfilled: Sequence[str],
) -> list[str]:
    """In which ways the bundle of an earlier build asks its model otherwise than its own library
    would be asked.

    Args:
        artefact: the model's own file.
        unfilled: columns of numbers that can be missing after the bundle's transforms.

    Runs on: driver.
    """
    return list(_ways(manifest, signature, artefact, unfilled)) if is_outdated(manifest) else []


def _ways(
    manifest: Mapping[str, Any],
    signature: Mapping[str, Any],
    artefact: bytes,
    unfilled: Sequence[str],
) -> Iterator[str]:
    from batchinfer.models.elsewhere.feeds import FEATURES

    class_, format_ = manifest["handler"]["class"], manifest[ARTIFACT]["format"]
    if class_.endswith(_CLASSIFIER) and format_ in ("onnx", "skops", PICKLE):
        yield "label is the likeliest class, which need not be what the model's own predict says"
    worded = [
        column["name"] for column in signature["inputs"] if column["type"] in ("string", "boolean")
    ]
    feeds = _feeds(manifest)
    framed = {name for feed in feeds if feed["input"] == _FRAME for name in feed.get("columns", ())}
    if asked := [name for name in worded if name in framed]:
        yield (
            f"a missing value in {listed(asked[:_SHOWN])} reaches the model as NaN, whatever it "
            "was fitted with"
        )
    matrix = any(feed.get("tensor") == FEATURES for feed in feeds)
    if matrix and unfilled and has_trees(format_, artefact):
        yield (
            f"a missing number in {listed(unfilled[:_SHOWN])} reaches the trees as 0, which is "
            "right only if they were grown on the output of these features"
        )
    if class_.endswith(_COLUMNS):
        yield (
            "rows that the model returns under another index are taken in the order in which they "
            "come"
        )


def _feeds(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(manifest["handler"]["params"].get("feeds", ()))


def has_trees(format_: str, artefact: bytes) -> bool:
    """Whether a model has trees, as far as the names in its bytes tell; nothing of it is loaded.

    Runs on: driver.
    """
    from batchinfer.models.formats import archives

    words = _TREES.get(format_, ())
    if format_ != "skops":
        return any(word in artefact for word in words)
    try:
        schema = archives.read_members(artefact).get("schema.json", b"")
    except ModelError:  # whoever opens the model tells what is wrong with its file
        return False
    return any(word in schema for word in words)
