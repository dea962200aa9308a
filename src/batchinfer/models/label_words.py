"""The words that `label` of a model can say, and whether those of two versions differ: whoever
filters on the words must know.

Owns where the words stand in a bundle. Loads no model and knows no registry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
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


def positive_word(manifest: Mapping[str, Any], steps: PostProcess | None) -> str | None:
    """The word of `label` whose probability `score` is; None where there are not two classes, or
    steps after the model give the word another meaning.

    Runs on: driver.
    """
    handler = manifest["handler"]
    params, labels = handler["params"], handler["params"].get("labels")
    if handler["class"] == _BINARY:
        word = params.get("positive", "positive")
    elif isinstance(labels, list) and len(labels) == 2 and isinstance(params.get("positive"), int):
        word = str(labels[params["positive"]])
    else:
        return None
    left = frozenset({word}) if steps is None else steps.words(frozenset({word}))
    return next(iter(left)) if left is not None and len(left) == 1 else None


@dataclass(frozen=True)
class LabelWords:
    """What a bundle says in `label`.

    Attributes:
        words: all of them; None: there is no such column, or they are not known.
        positive: the one whose probability `score` is; None: not of two classes, or not known.
    """

    words: Words | None
    positive: str | None = None


def read_label_words(folder: Path) -> LabelWords:
    """`label_words` and `positive_word` of a bundle that has been verified.

    Runs on: driver.

    Raises:
        ModelError: its steps after the model are of another release.
    """
    manifest = json.loads((folder / MANIFEST).read_bytes())
    steps = None
    if manifest.get("postprocess"):
        steps = PostProcess.from_json(json.loads((folder / POSTPROCESS).read_bytes()))
    return LabelWords(label_words(manifest, steps), positive_word(manifest, steps))


def changed_words(
    alias: str, former_version: str, former: LabelWords, now: LabelWords
) -> list[str]:
    """Sentences that warn of other words, and of a score of another one; none where they are the
    same, or not known.

    Runs on: driver.
    """
    held, told = f"version {former_version}, which held {alias} until now,", list[str]()
    if former.words is not None and now.words is not None and former.words != now.words:
        told.append(
            f"label says {_listed(now.words)} now; {held} said {_listed(former.words)}: whoever "
            "filters on the words must follow"
        )
    # A word that is gone has been told of already.
    turned = former.positive is not None and former.positive in (now.words or ())
    if turned and now.positive is not None and former.positive != now.positive:
        told.append(
            f"score is the probability of {json.dumps(now.positive, ensure_ascii=False)} now; "
            f"{held} gave that of {json.dumps(former.positive, ensure_ascii=False)}: whoever reads "
            "score must follow"
        )
    return told


def _listed(words: Words) -> str:
    shown = sorted(words)[:_SHOWN]
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(json.dumps(word, ensure_ascii=False) for word in shown) + more
