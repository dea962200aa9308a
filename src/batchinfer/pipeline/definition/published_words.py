"""What a model's published predictions mean: its classes, and how the steps after it call them.

Owns reading that from a bundle, without its weights, and where the pipeline file says otherwise.
Knows no tables; loads no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.models.class_names import OTHER, POSITIVE, REST, positive_label, same_class
from batchinfer.models.manifest import POSTPROCESS

if TYPE_CHECKING:
    from batchinfer.config.pipeline import Target
    from batchinfer.transforms.after_step import AfterStep

_LABEL, _SCORES = "label", "scores"


@dataclass(frozen=True)
class PublishedWords:
    """What predictions say, in terms of the model.

    Attributes:
        labels: the model's classes; of two, the positive one is the second. None are known of a
            model that names none.
        names: how `label` calls each of them; none where `label` says something else.
        shares: how `scores` calls each of them.
        mean: of the target in the rows that were learned from, in the units of the predictions;
            None where it is not known.
    """

    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    mean: float | None = None

    @property
    def positive(self) -> str | None:
        """How `label` calls the positive one of two classes; None where that tells it from no
        other.
        """
        told = len(self.labels) == 2 and len(set(self.names)) == 2
        return self.names[1] if told else None

    def place_of(self, value: str) -> int | None:
        """The place of the class that a value names, as the model calls it or as predictions do;
        None where it is none.

        A class that stands for all others (`other`) is any value that names no other class.
        """
        for words in (self.labels, self.names):
            exact = [place for place, word in enumerate(words) if word == value]
            near = [place for place, word in enumerate(words) if same_class(word, value)]
            if exact or near:
                return (exact or near)[0]
        general = [place for place, word in enumerate(self.labels) if word in (OTHER, REST)]
        return general[0] if len(self.labels) == 2 and len(general) == 1 else None


def read_words(folder: Path, manifest: Mapping[str, Any]) -> PublishedWords:
    """The words of a bundle that has been verified.

    Runs on: driver.

    Raises:
        ModelError: its steps after the model cannot be read.
    """
    params = manifest["handler"]["params"]
    steps: Sequence[AfterStep] = ()
    inverted = False
    if (file := folder / POSTPROCESS).is_file():
        from batchinfer.transforms import Inverse, PostProcess

        steps = PostProcess.from_json(json.loads(file.read_bytes())).steps
        inverted = any(isinstance(step, Inverse) for step in steps)
    mean = params.get("mean")
    known = isinstance(mean, int | float) and not inverted
    return _renamed(_labels(params), steps, float(mean) if known else None)


def assumed_words(target: Target | None, raw: Sequence[Mapping[str, Any]]) -> PublishedWords:
    """The words as the pipeline file has them, where a bundle does not tell.

    Args:
        raw: the steps of `postprocess`.

    Runs on: driver.
    """
    from batchinfer.transforms import parse_after

    two = target is not None and (target.positive or target.positive_pattern)
    labels = (OTHER, positive_label(target)) if target is not None and two else ()
    return _renamed(labels, parse_after(raw)[0], None)


def knows_other(words: PublishedWords) -> bool:
    """Whether the class that is not positive is one value, and no word for all others."""
    return len(words.labels) == 2 and words.labels[0] not in (OTHER, REST)


def other_positive(words: PublishedWords, target: Target | None) -> str | None:
    """What to warn of where the pipeline file names another class as positive than the bundle, as a
    sentence begins; None where they agree, as far as the bundle tells.

    Runs on: driver.
    """
    from batchinfer.models.class_names import positive_places, positive_setting, says_positive

    if len(words.labels) != 2 or target is None or not says_positive(target):
        return None
    named: Sequence[int] = positive_places(
        words.labels, target.positive or (), target.positive_pattern
    )
    turned = 0 in named and knows_other(words)
    # Of a model that learned a pattern, the bundle knows no value that is positive.
    by_pattern = not target.positive and words.labels[1] == POSITIVE
    if not turned and (1 in named or by_pattern):
        return None
    return (
        f"{positive_setting(target)}, but the positive class of the model is "
        f"{words.labels[1]!r}, and the other one {words.labels[0]!r}"
    )


def _labels(params: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes of a handler's params; of two the positive one last."""
    named, positive = params.get("labels"), params.get("positive")
    if isinstance(named, list):
        labels = tuple(str(name) for name in named)
        return labels[::-1] if len(labels) == 2 and positive == 0 else labels
    if isinstance(positive, str):
        return str(params.get("other", OTHER)), positive
    return ()


def _renamed(
    labels: tuple[str, ...], steps: Sequence[AfterStep], mean: float | None
) -> PublishedWords:
    if not steps:
        return PublishedWords(labels, labels, labels, mean)
    from batchinfer.transforms import LabelMap, Softmax, Threshold

    names = shares = labels
    for step in steps:
        if isinstance(step, Softmax) and step.labels is not None:
            labels = names = shares = tuple(step.labels)
        elif isinstance(step, Threshold):
            names = tuple(step.labels or labels) if len(labels) == 2 else ()
        elif isinstance(step, LabelMap):
            if step.columns is None or _LABEL in step.columns:
                names = tuple(_mapped(step, name) for name in names)
            if step.columns is None or _SCORES in step.columns:
                shares = tuple(_mapped(step, name) for name in shares)
    return PublishedWords(labels, names, shares, mean)


def _mapped(step: Any, name: str) -> str:
    return step.values.get(name, name if step.default is None else step.default)
