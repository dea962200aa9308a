"""Data as somebody has them on the first day: real files in the shape that they came in, cut where
the whole would only take longer, and what has to come out of them.
"""

from __future__ import annotations

import bz2
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from sklearn import datasets

SHARED = Path(__file__).parents[3] / "shared" / "data"


def write_census(file: Path) -> None:
    """A CSV file without a header, with spaces behind the commas and `?` for what is missing."""
    with (SHARED / "adult_train.csv").open() as lines:
        file.write_text("".join(itertools.islice(lines, 6_000)))


def write_hours(file: Path) -> None:
    """Hours of air and weather with `NA` where nothing was measured, as in the first day."""
    with (SHARED / "beijing_pollution_hourly.csv").open() as lines:
        file.write_text("".join(itertools.islice(lines, 9_001)))


def write_ratings(file: Path) -> None:
    """Ratings of vendors by reviewers, compressed: nothing but two ids and a time tells them."""
    with bz2.open(SHARED / "vendor_reviews.csv.bz2", "rt") as lines:
        text = "".join(itertools.islice(lines, 20_001))
    file.write_bytes(bz2.compress(text.encode()))


def write_tumours(file: Path) -> None:
    """An object a line, with the measures in an object of its own under names with spaces."""
    found = datasets.load_breast_cancer(as_frame=True)
    names = found.target_names.tolist()
    with file.open("w") as lines:
        for number, (measures, target) in enumerate(
            zip(found.data.to_dict("records"), found.target, strict=True), 1
        ):
            record = {"case_id": number, "measures": measures, "diagnosis": names[target]}
            lines.write(json.dumps(record) + "\n")


def write_digits(folder: Path) -> None:
    """A Delta table in two partitions: 64 pixels of a digit, some of them always white."""
    frame = datasets.load_digits(as_frame=True).frame
    frame.insert(0, "scan_id", [f"scan {number:04d}" for number in range(len(frame))])
    frame["pen"] = pd.Series(["blue", "black"] * len(frame)).head(len(frame))
    write_deltalake(
        str(folder), pa.Table.from_pandas(frame, preserve_index=False), partition_by=["pen"]
    )


def write_irises(file: Path) -> None:
    """Measures and a class that is a number."""
    datasets.load_iris(as_frame=True).frame.to_csv(file, index=False)


def write_patients(file: Path) -> None:
    """Amounts to learn, with European delimiters, missing words and a line that is no record."""
    frame = datasets.load_diabetes(as_frame=True, scaled=False).frame.rename(columns=str.upper)
    frame.insert(0, "patient_id", range(1000, 1000 + len(frame)))
    frame.loc[frame.index % 50 == 3, "BMI"] = None
    text = frame.to_csv(index=False, sep=";", na_rep="NA")
    file.write_text(text + "1;2\n", encoding="utf-8")


def write_shop(file: Path) -> None:
    """Sixty orders: the big ones are sent back."""
    rows = (
        f"{n},{('red', 'blue', 'green')[n % 3]},{n * 7 % 60}.5,{'yes' if n * 7 % 60 > 30 else 'no'}"
        for n in range(1, 61)
    )
    file.write_text("order_id,color,size,returned\n" + "".join(f"{row}\n" for row in rows))


@dataclass(frozen=True)
class OwnData:
    """Data of somebody, and what has to come out of them.

    Attributes:
        file: its name in the folder.
        records: that land.
        metric: of the validation, with bounds: a model that has seen nothing of the target is
            below, one that was told the target above.
        judge: looks at the table of predictions and at the data.
    """

    file: str
    write: Callable[[Path], None]
    target: str
    records: int
    metric: tuple[str, float, float]
    judge: Callable[[pd.DataFrame, Path], None]


def _judge_census(predictions: pd.DataFrame, file: Path) -> None:
    lines = file.read_text().splitlines()
    rich = predictions["source_line"].map(lambda line: lines[line - 1].endswith(">50K"))
    assert set(predictions["label"]) == {">50K", "<=50K"}
    assert predictions["score"][rich].mean() > predictions["score"][~rich].mean() + 0.3
    assert 0.8 < ((predictions["label"] == ">50K") == rich).mean() < 0.97


def _judge_hours(predictions: pd.DataFrame, file: Path) -> None:
    hours = pd.read_csv(file).merge(predictions, on="No")
    known = hours.dropna(subset=["pm2.5"])
    assert len(hours) == 9_000 and len(known) < 9_000, "hours without a measurement are predicted"
    assert np.corrcoef(known["pm2.5"], known["prediction"])[0, 1] > 0.6


def _judge_ratings(predictions: pd.DataFrame, file: Path) -> None:
    del file
    assert set(predictions["label"]) <= set("012345")
    shares = pd.DataFrame([dict(row) for row in predictions["scores"]])
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert 0.6 < shares["5"].mean() < 0.95, "most ratings are the best one"


def _judge_tumours(predictions: pd.DataFrame, file: Path) -> None:
    found = predictions.merge(pd.read_json(file, lines=True), on="case_id")
    assert (found["label"] == found["diagnosis"]).mean() > 0.93
    assert found["score"][found["diagnosis"] == "malignant"].mean() > 0.8, "its probability"


def _judge_digits(predictions: pd.DataFrame, folder: Path) -> None:
    scans = DeltaTable(str(folder)).to_pandas()[["scan_id", "target"]]
    found = predictions.merge(scans, on="scan_id")
    assert (found["label"] == found["target"].astype(str)).mean() > 0.93


OWN_DATA = {
    "census": OwnData(
        "census.csv", write_census, "c15", 6_000, ("auc", 0.8, 0.97), _judge_census
    ),
    "hours": OwnData(
        "hours.csv", write_hours, "pm2.5", 9_000, ("r2", 0.3, 0.97), _judge_hours
    ),
    "ratings": OwnData(
        "ratings.csv.bz2", write_ratings, "rating", 20_000, ("auc", 0.52, 0.97),
        _judge_ratings,
    ),
    "tumours": OwnData(
        "tumours.jsonl", write_tumours, "diagnosis", 569, ("auc", 0.95, 1.01),
        _judge_tumours,
    ),
    "digits": OwnData(
        "digits", write_digits, "target", 1_797, ("accuracy", 0.9, 1.01),
        _judge_digits,
    ),
}  # fmt: skip
