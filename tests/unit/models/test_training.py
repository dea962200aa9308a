"""Training: it learns, the seed decides, and the split is stable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from batchinfer.errors import ConfigError
from batchinfer.models.bundle import read_bundle
from batchinfer.models.bundle_writing import write_bundle
from batchinfer.models.training import TrainSpec, train_model

from .training_runs import NUMBER, ROWS, TWO, WIDTH, features, in_parts, run, weights, yes_or_no


def test_two_separable_classes_are_learnt() -> None:
    trained = run(yes_or_no(features()), TWO)
    assert (
        trained.metrics["auc"] > 0.99
        and trained.metrics["accuracy"] > 0.95 > trained.metrics["baseline"]
    )
    assert trained.metrics["auc_low"] <= trained.metrics["auc"] <= trained.metrics["auc_high"]
    assert (
        trained.rows_train + trained.rows_validation == ROWS and 200 < trained.rows_validation < 400
    )
    assert [point["epoch"] for point in trained.curve] == [1, 2, 3, 4, 5]
    assert trained.curve[-1]["train_loss"] < trained.curve[0]["train_loss"]
    assert trained.labels == ("no", "yes") and not trained.module.training
    x = features(50, seed=1)
    decoded = trained.handler.decode(trained.handler.forward({"features": torch.from_numpy(x)}))
    right = sum(
        (a == "yes") == b
        for a, b in zip(decoded["label"].to_pylist(), (x[:, 0] + x[:, 1] > 0.3), strict=True)
    )
    assert right >= 46 and set(decoded["label"].to_pylist()) == {"yes", "no"}


def test_the_seed_decides_the_weights_and_the_process_keeps_its_own_random_numbers() -> None:
    y = yes_or_no(features())
    torch.manual_seed(1)
    threads, expected = torch.get_num_threads(), torch.rand(3)
    torch.manual_seed(1)
    first = run(y, TWO, dropout=0.3)
    assert torch.equal(torch.rand(3), expected) and torch.get_num_threads() == threads
    second, other = run(y, TWO, dropout=0.3), run(y, TWO, dropout=0.3, seed=8)
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))
    assert first.metrics == second.metrics and first.curve == second.curve
    assert not all(torch.equal(a, b) for a, b in zip(weights(first), weights(other), strict=True))


def test_the_seed_decides_the_order_of_the_rows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without random weights to start from, and without dropout, only the order is left to differ.
    monkeypatch.setattr(
        torch.nn.Linear,
        "reset_parameters",
        lambda self: [torch.nn.init.zeros_(p) for p in self.parameters()],
    )
    first, second, other = (
        run(yes_or_no(features()), TWO, hidden=[], seed=seed, epochs=1) for seed in (7, 7, 8)
    )
    assert torch.equal(weights(first)[0], weights(second)[0]) and not torch.equal(
        weights(first)[0], weights(other)[0]
    )


def test_the_size_of_the_batches_that_come_in_does_not_matter() -> None:
    x = features()
    spec = TrainSpec("mlp_classifier", {"hidden": [4], "epochs": 1}, TWO, WIDTH)
    one, two = (
        train_model(spec, lambda part=part: in_parts(x, yes_or_no(x), part=part))
        for part in (ROWS, 77)
    )
    assert all(torch.equal(a, b) for a, b in zip(weights(one), weights(two), strict=True))


def test_several_classes_are_learnt_in_whatever_order_they_come() -> None:
    x = features()
    y = pa.array(np.array(["2", "10", "b"])[np.digitize(x[:, 0], [-0.5, 0.5])])
    trained = run(y, NUMBER, epochs=8)
    assert (
        trained.labels == ("2", "10", "b")
        and trained.metrics["accuracy"] > 0.93
        and trained.metrics["auc"] > 0.98
    )
    back = run(
        y[::-1] if isinstance(y, np.ndarray) else y.take(pa.array(np.arange(ROWS)[::-1])),
        NUMBER,
        x=x[::-1].copy(),
        epochs=8,
    )
    assert back.labels == trained.labels and back.metrics["accuracy"] > 0.93
    decoded = trained.handler.decode(
        trained.handler.forward({"features": torch.from_numpy(x[:20])})
    )
    assert decoded["scores"].type == pa.map_(pa.string(), pa.float64())
    for label, score, scores in zip(
        *(decoded[name].to_pylist() for name in ("label", "score", "scores")), strict=True
    ):
        assert dict(scores)[label] == score == max(dict(scores).values())
        assert sum(dict(scores).values()) == pytest.approx(1) and list(dict(scores)) == [
            "2",
            "10",
            "b",
        ]


def test_a_classifier_takes_whole_numbers_as_classes() -> None:
    x = features()
    assert run(pa.array((x[:, 0] > 0).astype(np.int32)), NUMBER).labels == ("0", "1")


def test_a_number_is_learnt_in_its_own_units() -> None:
    x = features()
    y = 1e6 + 1e4 * (x[:, 0].astype(np.float64) - 2 * x[:, 1])
    trained = run(pa.array(y), NUMBER, "mlp_regressor", epochs=20)
    assert trained.task == "regression" and trained.labels == ()
    assert (
        trained.metrics["r2"] > 0.98
        and trained.metrics["rmse"] < 0.15 * trained.metrics["baseline"]
    )
    predicted = trained.handler.decode(trained.handler.forward({"features": torch.from_numpy(x)}))[
        "prediction"
    ].to_numpy()
    assert np.sqrt(np.mean((predicted - y) ** 2)) < 0.15 * y.std()


def test_rows_without_a_target_are_left_out_and_counted() -> None:
    x = features()
    labels = [
        None if place % 10 == 0 else label for place, label in enumerate(yes_or_no(x).to_pylist())
    ]
    trained = run(pa.array(labels), TWO, epochs=1)
    assert trained.rows_dropped == ROWS // 10
    assert trained.rows_train + trained.rows_validation == ROWS - ROWS // 10


def test_the_best_epoch_is_kept_and_stale_ones_end_the_training() -> None:
    x = features(400)
    noise = pa.array(np.random.default_rng(5).choice(["yes", "no"], size=400))
    trained = run(noise, TWO, x=x, epochs=60, patience=2, hidden=[64], batch_size=16)
    losses = [point["valid_loss"] for point in trained.curve]
    assert len(losses) < 60 and min(losses) == losses[-3]
    assert trained.metrics["log_loss"] == pytest.approx(min(losses), rel=1e-5)


def test_a_split_by_mask_or_hash_decides_what_is_validated_on() -> None:
    x = features(1000)
    mask = np.arange(1000) % 4 == 0
    spec = TrainSpec("mlp_classifier", {"hidden": [], "epochs": 1}, TWO, WIDTH)
    assert train_model(spec, lambda: in_parts(x, yes_or_no(x), mask)).rows_validation == 250
    hashes = np.where(mask, 0, 2**64 - 1).astype(np.uint64)
    assert train_model(spec, lambda: in_parts(x, yes_or_no(x), hashes)).rows_validation == 250
    signed = hashes.view(np.int64)
    assert train_model(spec, lambda: in_parts(x, yes_or_no(x), signed)).rows_validation == 250


def test_few_rows_train_with_a_warning() -> None:
    x = features(6)
    trained = train_model(
        TrainSpec("mlp_classifier", {}, TWO, WIDTH),
        lambda: in_parts(x, pa.array(["yes", "no"] * 3), np.zeros(6, bool)),
    )
    assert trained.rows_validation == 0 and "rows fell to validation" in trained.warnings[0]


def test_progress_is_told_epoch_by_epoch() -> None:
    told: list[tuple[int, int, float, float]] = []
    x = features(500)
    trained = train_model(
        TrainSpec("mlp_classifier", {"epochs": 2}, TWO, WIDTH),
        lambda: in_parts(x, yes_or_no(x)),
        lambda *args: told.append(args),
    )
    assert told == [(p["epoch"], 2, p["train_loss"], p["valid_loss"]) for p in trained.curve]
    assert TrainSpec("mlp_classifier", {}, TWO, WIDTH).epochs == 5


def test_training_does_not_load_torchs_compiler() -> None:
    code = (
        "import sys, numpy as np; from batchinfer.config.pipeline import Target;"
        "from batchinfer.models.training import TrainSpec, train_model;"
        "x = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32);"
        "train_model(TrainSpec('mlp_regressor', {}, Target(column='y'), 2), lambda: [(x, x[:, "
        "0])]);"
        "print('torch._dynamo' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


OWN_NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, features, outputs, width=2):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(features, width), torch.nn.BatchNorm1d(width), torch.nn.Tanh(),
            torch.nn.Linear(width, outputs))

    def forward(self, features):
        return self.layers(features).squeeze(-1)
"""


def test_a_class_of_the_users_own_is_trained_and_bundled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_net.py").write_text(OWN_NET)
    x = features(1025)
    spec = TrainSpec(
        {"python": "own_net:Net"},
        {"width": 8, "learning_rate": 0.01, "batch_size": 128},
        TWO,
        WIDTH,
    )
    trained = train_model(spec, lambda: in_parts(x, yes_or_no(x), np.zeros(1025, bool)))
    assert trained.metrics["auc"] > 0.98
    signature = {"inputs": [{"name": name, "type": "float"} for name in "abcd"], "outputs": []}
    write_bundle(
        tmp_path / "bundle",
        handler=trained.handler,
        module=trained.module,
        transforms=None,
        signature=signature,
        facts={},
    )
    tensors = {"features": torch.from_numpy(x[:9])}
    loaded = read_bundle(tmp_path / "bundle").handler
    assert loaded.decode(loaded.forward(tensors)) == trained.handler.decode(
        trained.handler.forward(tensors)
    )
    spec = TrainSpec({"python": "own_net:Net"}, {"widht": 8}, TWO, WIDTH)
    with pytest.raises(ConfigError, match=r"widht.*width"):
        train_model(spec, lambda: in_parts(x, yes_or_no(x)))
