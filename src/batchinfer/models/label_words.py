"""The words that `label` of a model can say, and whether those of two versions differ: whoever
filters on the words must know.

Owns where the words stand in a bundle. Loads no model and knows no registry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchinfer.config.types import spark_name
from batchinfer.models.manifest import MANIFEST, POSTPROCESS
from batchinfer.transforms import PostProcess

_BINARY = "batchinfer.models.handler:BinaryClassifier"
_SHOWN = 10

Words = frozenset[str]


def label_words(manifest: Mapping[str, Any], steps: PostProcess | None) -> Words | None:
    """What the prediction column `label` can say; None where there is no such column, or where
    that is not known before rows are scored.

    Args:
        steps: those after the model.

    Runs on: driver.
    """
    handler = manifest["handler"]
    given = handler["output"]
    if steps is not None:
        given = {name: spark_name(type_) for name, type_ in steps.fields.items()}
    if given.get("label") != "string":
        return None
    params, words = handler["params"], None
    if handler["class"] == _BINARY:
        # Without these params the handler says the words that are its defaults.
        words = frozenset({params.get("positive", "positive"), params.get("other", "other")})
    elif isinstance(labels := params.get("labels"), list):
        words = frozenset(map(str, labels))
    return words if steps is None else steps.words(words)


def read_label_words(folder: Path) -> Words | None:
    """`label_words` of a bundle that has been verified.

    Runs on: driver.

    Raises:
        ModelError: its steps after the model are of another release.
    """
    manifest = json.loads((folder / MANIFEST).read_bytes())
    if not manifest.get("postprocess"):
        return label_words(manifest, None)
    steps = PostProcess.from_json(json.loads((folder / POSTPROCESS).read_bytes()))
    return label_words(manifest, steps)


def changed_words(
    alias: str, former_version: str, former: Words | None, now: Words | None
) -> str | None:
    """The sentence that warns of other words; None where they are the same, or not known.

    Runs on: driver.
    """
    if former is None or now is None or former == now:
        return None
    return (
        f"label says {_listed(now)} now; version {former_version}, which held {alias} until now, "
        f"said {_listed(former)}: whoever filters on the words must follow"
    )


def _listed(words: Words) -> str:
    shown = sorted(words)[:_SHOWN]
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(json.dumps(word, ensure_ascii=False) for word in shown) + more
