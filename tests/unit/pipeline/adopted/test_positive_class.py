"""`train.target.positive` held against the classes of a model trained elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.errors import ModelError

from .landed_rows import LandedRows

Land = Callable[..., LandedRows]
ROWS = 60


def asked(*positive: Any) -> str:
    return f"train: {{target: {{column: goal, positive: {list(positive)}}}}}\n"


def saved(project: LandedRows, path: Path, words: tuple[Any, ...]) -> Path:
    """A classifier of so many classes, in equal parts."""
    import skops.io
    from sklearn.naive_bayes import GaussianNB

    frame = project.frame()[["x"]]
    places = np.digitize(frame["x"], np.quantile(frame["x"], np.arange(1, len(words)) / len(words)))
    skops.io.dump(GaussianNB().fit(frame, np.array(words)[places]), path)
    return path


def numbers() -> pa.Table:
    return pa.table({"id": np.arange(ROWS), "x": np.random.default_rng(5).normal(size=ROWS)})


def test_a_positive_one_of_several_classes_is_told_to_be_unused(
    landed: Land, tmp_path: Path
) -> None:
    project = landed(numbers(), asked(1, "many"))
    report = project.register(saved(project, tmp_path / "m.skops", (0, 1, 2)))
    assert report.outputs["scores"] == "map<string,double>"
    unused, idle = report.warnings
    assert unused.startswith('train.target.positive: got ["1", "many"], which is not used')
    assert "score is that of the label" in unused
    assert idle == (
        'train.target.positive: "many" names no class of the model; its classes are 0, 1, 2'
    )


def test_a_positive_class_that_several_do_not_have_is_refused(landed: Land, tmp_path: Path) -> None:
    project = landed(numbers(), asked("gone"))
    with pytest.raises(ModelError, match=r'got \["gone"\].*the model\'s classes are 0, 1, 2'):
        project.register(saved(project, tmp_path / "m.skops", (0, 1, 2)))


def test_a_spelling_that_is_no_class_is_told(landed: Land, tmp_path: Path) -> None:
    project = landed(numbers(), asked("churned", "Left"))
    file = saved(project, tmp_path / "m.skops", ("stayed", "churned"))
    assert project.register(file).warnings == [
        'train.target.positive: "Left" names no class of the model; its classes are churned, stayed'
    ]
