"""A bundle with fitted transforms: from labelled columns to the same predictions after loading,
whatever the batches.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.config.pipeline import Target
from batchinfer.errors import ModelError
from batchinfer.models import manifest as manifests
from batchinfer.models.bundle import read_bundle, read_signature, verify_bundle
from batchinfer.models.bundle_writing import write_bundle
from batchinfer.models.handler import Handler
from batchinfer.models.training import Trained, TrainSpec, train_model
from batchinfer.transforms import STEPS, TransformPipeline, fit, parse_steps

ROWS = 800
FIELDS = {"age": pa.int32(), "job": pa.string()}
SIGNATURE = {
    "inputs": [{"name": "age", "type": "int"}, {"name": "job", "type": "string"}],
    "outputs": [{"name": "score", "type": "double"}, {"name": "label", "type": "string"}],
}


def people(rows: int = ROWS, seed: int = 4) -> pa.RecordBatch:
    generator = np.random.default_rng(seed)
    age = generator.integers(18, 80, rows)
    job = generator.choice(["cook", "clerk", "pilot"], rows)
    rich = (age > 40) & (job != "cook")
    return pa.record_batch(
        {
            "age": pa.array(age, pa.int32(), mask=generator.random(rows) < 0.1),
            "job": pa.array(job, mask=generator.random(rows) < 0.1),
            "income": pa.array(np.where(rich, ">50K", "<=50K")),
        }
    )


def fitted() -> TransformPipeline:
    steps, problems = parse_steps(
        [
            {"impute": {"columns": ["age"], "strategy": "mean"}},
            {"standardize": {"columns": ["age"]}},
            {"one_hot": {"columns": ["job"]}},
        ]
    )
    assert problems == []
    return fit(steps, FIELDS, lambda: [people()])


@pytest.fixture(scope="module")
def trained() -> tuple[TransformPipeline, Trained]:
    transforms = fitted()
    target = Target(column="income", positive=(">50K",))
    spec = TrainSpec(
        "mlp_classifier",
        {"hidden": [16], "learning_rate": 0.01, "epochs": 10},
        target,
        transforms.width,
    )

    def examples() -> Iterator[tuple[np.ndarray, pa.Array]]:
        yield transforms.matrix(people()), people().column("income")

    return transforms, train_model(spec, examples)


@pytest.fixture
def bundle(trained: tuple[TransformPipeline, Trained], tmp_path: Path) -> Path:
    transforms, model = trained
    write_bundle(
        tmp_path / "bundle",
        handler=model.handler,
        module=model.module,
        transforms=transforms,
        signature=SIGNATURE,
        facts={"metrics": model.metrics, "training_table": "landed/income", "training_version": 3},
    )
    return tmp_path / "bundle"


def score(handler: Handler, batch: pa.RecordBatch) -> dict[str, pa.Array]:
    return handler.decode(handler.forward(handler.encode(batch)))


def test_columns_go_in_and_the_predictions_of_the_trained_model_come_out(
    bundle: Path, trained: tuple[TransformPipeline, Trained]
) -> None:
    transforms, model = trained
    loaded = read_bundle(bundle)
    assert read_signature(bundle) == SIGNATURE == loaded.signature
    own = type(model.handler)(model.module, transforms, model.handler.params)
    new = people(300, seed=9)
    assert score(loaded.handler, new) == score(own, new)
    right = np.mean(
        [
            a == b
            for a, b in zip(
                score(loaded.handler, new)["label"].to_pylist(),
                new["income"].to_pylist(),
                strict=True,
            )
            if b == ">50K"
        ]
    )
    assert model.metrics["auc"] > 0.85 and right > 0.6
    assert loaded.manifest["facts"]["metrics"] == model.metrics
    assert loaded.manifest["transforms"]["digest"] == transforms.digest()
    assert loaded.manifest["transforms"]["versions"].keys() == {"impute", "standardize", "one_hot"}


@pytest.mark.parametrize("rows", [0, 1, 64])
def test_rows_score_alike_alone_and_together(bundle: Path, rows: int) -> None:
    handler = read_bundle(bundle).handler
    batch = people(64)
    together = score(handler, batch.slice(0, rows))
    alone = [score(handler, batch.slice(place, 1))["score"][0].as_py() for place in range(rows)]
    np.testing.assert_allclose(together["score"].to_numpy(), alone, rtol=1e-5, atol=1e-6)
    assert [len(column) for column in together.values()] == [rows, rows]


def test_another_version_of_a_transform_is_refused(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(STEPS["standardize"], "version", STEPS["standardize"].version + 1)
    with pytest.raises(ModelError, match="standardize was fitted as version") as caught:
        verify_bundle(bundle)
    assert (
        str(bundle) in str(caught.value)
        and manifests.TRANSFORMS in str(caught.value)
        and caught.value.exit_code == 7
    )
    with pytest.raises(ModelError, match="standardize was fitted as version"):
        read_bundle(bundle)


def test_an_altered_state_is_refused_even_where_its_own_sum_was_mended(bundle: Path) -> None:
    data = (bundle / manifests.TRANSFORMS).read_bytes().replace(b"cook", b"book")
    (bundle / manifests.TRANSFORMS).write_bytes(data)
    manifest = json.loads((bundle / manifests.MANIFEST).read_bytes())
    expected = manifest["digest"]
    manifest["files"][manifests.TRANSFORMS]["sha256"] = manifests.sha256(data)
    manifest["digest"] = manifests.digest_of(manifest)
    (bundle / manifests.MANIFEST).write_bytes(manifests.to_bytes(manifest))
    with pytest.raises(ModelError, match=f"expected {expected}"):
        verify_bundle(bundle, expected)
    with pytest.raises(ModelError, match=r"transforms\.json: got digest"):
        read_bundle(bundle)
