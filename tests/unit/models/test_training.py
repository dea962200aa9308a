"""Training: it learns, the seed decides, the split is stable, and what cannot be learnt is refused
in words.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.config.pipeline import Target
from batchinfer.errors import ConfigError, InputError, StorageError
from batchinfer.models import examples
from batchinfer.models.adam import Adam
from batchinfer.models.bundle import read_bundle
from batchinfer.models.bundle_writing import write_bundle
from batchinfer.models.examples import ExampleWriter, Shapes, mixed
from batchinfer.models.mlp import build_module
from batchinfer.models.training import Trained, TrainSpec, train_model

ROWS, WIDTH = 3000, 4
TWO = Target(column="y", positive=("yes",))
NUMBER = Target(column="y")


def features(rows: int = ROWS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)


def in_parts(
    x: np.ndarray, y: Any, split: np.ndarray | None = None, part: int = 700
) -> Iterator[tuple[Any, ...]]:
    for first in range(0, len(x), part):
        rows = slice(first, first + part)
        yield (x[rows], y[rows]) if split is None else (x[rows], y[rows], split[rows])


def yes_or_no(x: np.ndarray) -> pa.Array:
    return pa.array(np.where(x[:, 0] + x[:, 1] > 0.3, "yes", "no"))


def run(
    y: Any,
    target: Target,
    model: Any = "mlp_classifier",
    x: np.ndarray | None = None,
    **params: Any,
) -> Trained:
    x = features() if x is None else x
    spec = TrainSpec(
        model,
        {"hidden": [16], "learning_rate": 0.01, "dropout": 0.0, "seed": 7, **params},
        target,
        WIDTH,
    )
    return train_model(spec, lambda: in_parts(x, y))


def weights(trained: Trained) -> list[torch.Tensor]:
    return list(trained.module.state_dict().values())


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
    assert trained.labels == ("other", "yes") and not trained.module.training
    x = features(50, seed=1)
    decoded = trained.handler.decode(trained.handler.forward({"features": torch.from_numpy(x)}))
    right = sum(
        (a == "yes") == b
        for a, b in zip(decoded["label"].to_pylist(), (x[:, 0] + x[:, 1] > 0.3), strict=True)
    )
    assert right >= 46 and set(decoded["label"].to_pylist()) == {"yes", "other"}


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


@pytest.mark.parametrize(
    ("y", "target", "model", "error", "says"),
    [
        (["no"] * 100, TWO, "mlp_classifier", InputError, r"one class only: other \(100 rows\)"),
        (["no"] * 100, NUMBER, "mlp_classifier", InputError, r"one class only: no \(100 rows\)"),
        ([None] * 100, TWO, "mlp_classifier", InputError, "no row to learn from"),
        (
            ["no"] * 100,
            NUMBER,
            "mlp_regressor",
            ConfigError,
            "asks for multiclass; allowed: mlp_classifier",
        ),
        (
            [0.5] * 100,
            NUMBER,
            "mlp_classifier",
            ConfigError,
            "asks for regression; allowed: mlp_regressor",
        ),
        ([float("inf")] * 100, NUMBER, "mlp_regressor", InputError, "infinite target"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(
    y: list[Any], target: Target, model: str, error: type, says: str
) -> None:
    with pytest.raises(error, match=says):
        run(
            pa.array(y, pa.string() if y[0] is None else None),
            target,
            model,
            features(100),
            dropout=0.0,
        )


def test_parameters_and_features_that_cannot_be_are_refused() -> None:
    x = features(100)
    with pytest.raises(ConfigError, match=r"epochs \(did you mean|did you mean epochs"):
        run(yes_or_no(x), TWO, x=x, epoch=3)
    with pytest.raises(ConfigError, match="loss is"):
        run(pa.array(x[:, 0] * 1e30), NUMBER, "mlp_regressor", x * 1e30, learning_rate=9.0)
    x[3, 2] = np.nan
    with pytest.raises(InputError, match=r"features \[2\] of 1 rows"):
        run(yes_or_no(x), TWO, x=x)
    with pytest.raises(InputError, match="shape"):
        run(yes_or_no(x), TWO, x=x[:, :2])


def test_an_error_of_the_data_is_not_called_a_full_disk() -> None:
    def broken() -> Iterator[tuple[Any, ...]]:
        yield features(10), pa.array(["yes"] * 10)
        raise OSError("the file is cut")

    with pytest.raises(OSError, match="the file is cut") as caught:
        train_model(TrainSpec("mlp_classifier", {}, TWO, WIDTH), broken)
    assert not isinstance(caught.value, StorageError)


def test_the_optimizer_is_torchs() -> None:
    torch.manual_seed(0)
    start = torch.randn(5, 3)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    idle, frozen = (
        torch.nn.Parameter(torch.ones(1)),
        torch.nn.Parameter(torch.ones(1), requires_grad=False),
    )
    adam, reference = Adam([ours, idle, frozen], 0.03), torch.optim.Adam([theirs], lr=0.03)
    for _ in range(200):
        gradient = torch.randn(5, 3) * 10.0 ** torch.randint(-4, 4, (5, 3))
        for parameter, optimizer in ((ours, adam), (theirs, reference)):
            parameter.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(ours, start, atol=0.1) and idle.item() == frozen.item() == 1
    adam.clear()
    assert ours.grad is None


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


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 60),
    batch_rows=st.integers(1, 20),
    block=st.integers(1, 16),
    held=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_an_epoch_gives_every_row_once_however_little_fits_the_memory(
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    batch_rows: int,
    block: int,
    held: int,
    seed: int,
) -> None:
    shapes = Shapes(1, {"word": (100, None), "words": (100, 2)})
    writer = ExampleWriter(tmp_path_factory.mktemp("rows"), shapes, 0.1)
    numbers = np.arange(rows)
    inputs = {
        "features": numbers.astype(np.float32)[:, None],
        "word": numbers,
        "words": np.stack([numbers, numbers], axis=1),
    }
    learn, _ = writer.write([(inputs, np.arange(rows, dtype=np.float64), np.zeros(rows, bool))])
    assert all(isinstance(learn.inputs[name], np.memmap) for name in shapes.names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "BLOCK_ROWS", block)
        patch.setattr(examples, "BUFFER_BYTES", held * block * shapes.row_bytes)
        orders = []
        for _ in range(2):
            batches = list(learn.shuffled(batch_rows, torch.Generator().manual_seed(seed)))
            for x, y in batches:
                assert torch.equal(x["features"][:, 0].double(), y) and torch.equal(
                    x["word"], y.long()
                )
                assert torch.equal(x["words"], torch.stack([y.long(), y.long()], dim=1))
            orders.append(torch.cat([y for _, y in batches]).tolist())
    assert orders[0] == orders[1] and sorted(orders[0]) == list(range(rows))


def test_the_hash_of_positions_is_spread_evenly_and_never_changes() -> None:
    hashes = mixed(np.arange(100_000, dtype=np.uint64))
    assert hashes[:3].tolist() == [16294208416658607535, 10451216379200822465, 10905525725756348110]
    assert abs(np.mean(hashes < np.uint64(2**64 // 10)) - 0.1) < 0.005


def test_layers_that_memory_does_not_hold_are_told() -> None:
    with pytest.raises(
        ConfigError, match=r"hidden \[10000000, 10000000\].* needs more memory than there is"
    ):
        build_module(
            "batchinfer.models.mlp:Mlp",
            {"features": 2, "outputs": 1, "hidden": [10_000_000, 10_000_000]},
        )
