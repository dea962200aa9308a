"""Pictures and texts, from the folder to the landed table; a model that learns from texts."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from PIL import Image
from spark.projects import DAY, SmallProject

from batchinfer.errors import InputError, TooManyQuarantined
from batchinfer.pipeline.lookup import lookup_keys

WORDS = {"pos": "good great fine moving brilliant", "neg": "bad dull poor boring awful"}
FILLING = ["the", "film", "was", "a", "story", "of", "two"]
TEXTS = """\
name: small
source:
  kind: texts
  path: in
features:
  - tfidf: {columns: content, max_features: 200}
train:
  target: {column: path, positive_pattern: '/pos/|^pos/'}
  params: {hidden: [8], epochs: 60, seed: 1}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.1}
sink: {table: predictions/small}
"""
IMAGES = """\
name: small
source: {kind: images, path: in}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/small}
"""


@pytest.fixture
def texts(small: SmallProject) -> SmallProject:
    (small.root / "in/a.csv").unlink()
    small.write("conf/pipelines/small.yaml", TEXTS)
    choose = random.Random(3)
    for label, words in WORDS.items():
        for number in range(60):
            mixed = [
                *choose.choices(words.split(), k=6),
                *choose.choices(FILLING, k=12),
            ]
            choose.shuffle(mixed)
            small.write(f"in/{label}/{number:02}.txt", " ".join(mixed) + "\n")
    return small


def test_a_model_learns_from_texts_and_each_is_found_by_its_path(texts: SmallProject) -> None:
    report = texts.extract()
    assert (report.rows_in, report.rows_landed, report.files_read) == (120, 120, 120)
    assert texts.extract().status == "unchanged"
    texts.train()
    assert texts.score().rows_scored == 120
    scores = {row["path"]: row["score"] for row in texts.table("predictions").to_pylist()}
    assert sum((score > 0.5) == path.startswith("pos/") for path, score in scores.items()) > 110
    [found, absent] = lookup_keys(texts.context(), [{"path": "pos/07.txt"}, {"path": "pos/no.txt"}])
    assert found is not None and (found["score"], absent) == (scores["pos/07.txt"], None)
    texts.write("in/pos/new.txt", "a great film")
    assert texts.extract().rows_landed == 1
    assert texts.states() == {DAY: "stale"}


def test_texts_that_cannot_be_decoded_are_put_aside_with_their_bytes(texts: SmallProject) -> None:
    (texts.root / "in/pos/bad.txt").write_bytes(b"caf\xe9")
    report = texts.extract()
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (121, 120, 1)
    [record] = texts.table("quarantine").to_pylist()
    assert (record["source_file"], record["source_line"], record["reason"], record["raw"]) == (
        "pos/bad.txt", 1, "not_utf8", b"caf\xe9",
    )  # fmt: skip
    assert record["message"].startswith("the text is not utf-8: byte 0xe9 at 3")


def test_a_text_that_changed_is_refused_or_replaced(texts: SmallProject) -> None:
    texts.extract()
    texts.write("in/pos/07.txt", "awful after all")
    with pytest.raises(InputError, match=r"pos/07\.txt: it changed after it was landed"):
        texts.extract()
    assert texts.extract(DAY, "source.on_changed=replace").rows_landed == 1
    rows = {row["path"]: row["content"] for row in texts.table("landed").to_pylist()}
    assert len(rows) == 120 and rows["pos/07.txt"] == "awful after all"


def test_pictures_land_as_they_are_and_what_is_none_is_put_aside(small: SmallProject) -> None:
    small.write("conf/pipelines/small.yaml", IMAGES)
    made: dict[str, bytes] = {}
    for number, format_ in enumerate(("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP") * 3):
        buffer = io.BytesIO()
        Image.new("RGB", (16, 12), (number, 0, 0)).save(buffer, format_)
        made[f"{number}.{format_.lower()}"] = buffer.getvalue()
    for name, data in made.items():
        (small.root / "in" / name).write_bytes(data)
    with pytest.raises(TooManyQuarantined, match=r"not_an_image 1.*a\.csv"):
        small.extract(DAY, "checks.max_quarantine_rate=0.01")
    report = small.extract()
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (19, 18, 1)
    rows = small.table("landed").to_pylist()
    assert {row["path"]: row["content"] for row in rows} == made
    assert Image.open(io.BytesIO(rows[0]["content"])).size == (16, 12)
    [record] = [row for row in small.table("quarantine").to_pylist() if row["published"]]
    assert (record["source_file"], record["reason"]) == ("a.csv", "not_an_image")
    assert record["raw"] == Path(small.root / "in/a.csv").read_bytes()
