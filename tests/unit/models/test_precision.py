"""Lower precision: what still agrees with float32 passes, what does not ends with the row, and
poison is not mistaken for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from batchinfer.errors import ModelError
from batchinfer.inference.engine import BatchScorer
from batchinfer.models.bundle import read_bundle
from batchinfer.models.bundle_writing import write_bundle
from batchinfer.models.handler import BinaryClassifier, Handler, Regressor
from batchinfer.models.manifest import check_precision
from batchinfer.models.mlp import build_module
from batchinfer.models.precision import SAMPLE_ROWS, TOLERANCES, Lowered, difference, lower

NAMES = ("a", "b", "c")


def rows_of(count: int, seed: int = 3) -> pa.RecordBatch:
    random = np.random.default_rng(seed)
    return pa.record_batch({name: random.normal(size=count) for name in NAMES})


class Line(torch.nn.Module):
    """The first feature times `slope`, plus `far` minus `far`: in bf16 little is left of it where
    `far` is large.
    """

    def __init__(self, slope: float = 1.0, far: float = 0.0) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(slope))
        self.far = far
        self.seen: list[tuple[torch.dtype, int]] = []

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.seen.append((features.dtype, len(features)))
        return ((features[:, :1] * self.slope) + self.far) - self.far


def lowered(
    far: float = 0.0, precision: Any = "bf16", class_: type[Handler] = Regressor
) -> tuple[Lowered, Line, Line]:
    low, exact = Line(far=far), Line(far=far)
    lower(low, precision)
    return Lowered(class_(low, columns=NAMES), class_(exact, columns=NAMES), precision), low, exact


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    module = build_module(
        "batchinfer.models.mlp:Mlp",
        {"features": 3, "outputs": 1, "hidden": [64, 64], "dropout": 0.1},
    ).eval()
    signature = {
        "inputs": [{"name": name, "type": "double"} for name in NAMES],
        "outputs": [{"name": "score", "type": "double"}, {"name": "label", "type": "string"}],
    }
    handler = BinaryClassifier(module, None, {"positive": "yes"}, NAMES)
    write_bundle(
        tmp_path / "bundle",
        handler=handler,
        module=module,
        transforms=None,
        signature=signature,
        facts={},
    )
    return tmp_path / "bundle"


def scores(handler: Handler, rows: pa.RecordBatch) -> np.ndarray:
    parts = [scored.predictions["score"] for scored in BatchScorer(handler, 100).score([rows])]
    return pa.concat_arrays(parts).to_numpy()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_bundle_computes_in_less_and_gives_nearly_the_same(bundle: Path, precision: Any) -> None:
    rows = rows_of(1000)
    exact, low = (
        scores(read_bundle(bundle, precision=one).handler, rows) for one in ("float32", precision)
    )
    assert low.dtype == np.float64
    off = np.abs(exact - low).max()
    assert 0 < off < TOLERANCES[precision], "another type must leave its mark, and a small one"
    handler = read_bundle(bundle, precision=precision).handler
    assert handler.module is not None
    assert {one.dtype for one in handler.module.parameters()} == {
        torch.bfloat16 if precision == "bf16" else torch.float16
    }


def test_a_bundle_multiplies_whole_numbers_and_gives_nearly_the_same(bundle: Path) -> None:
    rows = rows_of(1000)
    exact = scores(read_bundle(bundle).handler, rows)
    handler = read_bundle(bundle, precision="int8").handler
    assert isinstance(handler, Lowered)
    off = np.abs(exact - scores(handler, rows)).max()
    assert 0 < off < TOLERANCES["int8"]


def test_the_module_takes_the_lower_type_and_gives_float32() -> None:
    handler, low, exact = lowered()
    output = handler.forward(handler.encode(rows_of(5)))
    assert output.dtype == torch.float32
    assert {type_ for type_, _ in low.seen} == {torch.bfloat16}
    assert {type_ for type_, _ in exact.seen} == {torch.float32}


def test_only_the_first_rows_are_computed_twice() -> None:
    handler, low, exact = lowered()
    for start in range(0, 1000, 100):
        handler.forward(handler.encode(rows_of(1000).slice(start, 100)))
    assert [rows for _, rows in exact.seen] == [100, 100, SAMPLE_ROWS - 200]
    assert sum(rows for _, rows in low.seen) == 1000 + SAMPLE_ROWS


def test_too_large_a_difference_ends_the_run_and_names_the_row() -> None:
    handler, _, _ = lowered(far=100.0)
    rows = pa.record_batch({name: [0.0, 0.0, 0.25, 0.0] for name in NAMES})
    with pytest.raises(ModelError) as caught:
        list(BatchScorer(handler, 4).score([rows]))
    assert caught.value.problems[0] == (
        "model.precision: got bf16; the largest difference from float32 is 0.25 in row 2 of a "
        "sample of 4 (0 instead of 0.25); "
        "allowed: 0.0625, 0.0625 of the largest output 1"
    )


def test_what_fp16_cannot_hold_is_a_difference() -> None:
    handler, _, _ = lowered(precision="fp16")
    with pytest.raises(
        ModelError, match="the largest difference from float32 is inf in row 1 of a sample of 2"
    ):
        handler.forward(handler.encode(pa.record_batch({name: [1.0, 70_000.0] for name in NAMES})))


class Picky(Regressor):
    """Raises on rows that hold 13."""

    def forward(self, tensors: dict[str, torch.Tensor]) -> Any:
        if (tensors["features"] == 13).any():
            raise ValueError("cannot take 13")
        return super().forward(tensors)


@pytest.mark.parametrize("batch_rows", [1, 4, 100])
def test_a_row_that_raises_in_the_sample_costs_itself(batch_rows: int) -> None:
    handler, _, _ = lowered(class_=Picky)
    values = [13.0 if row in (0, 7, 90) else row / 128 for row in range(100)]
    results = list(
        BatchScorer(handler, batch_rows).score([pa.record_batch(dict.fromkeys(NAMES, values))])
    )
    failed = [at for scored in results for at in scored.failed_at]
    assert failed == [0, 7, 90]
    assert {record.reason for scored in results for record in scored.failed} == {"model_error"}
    found = pa.concat_arrays([scored.predictions["prediction"] for scored in results]).to_pylist()
    assert found == [value for value in values if value != 13.0]


@pytest.mark.parametrize(
    ("got", "expected", "wrong"),
    [
        ([1.0, 2.0], [1.0, 2.1], None),
        ([1.0, 2.0], [1.0, 2.5], "in row 1 of a sample of 2"),
        ([float("nan"), 2.0], [1.0, 2.0], "inf in row 0 of"),
        ([1.0, 2.0], [float("nan"), 2.0], None),
        ([1000.0, 50.0], [1000.0, 0.0], None),
        ([0.0, 0.0], [0.001, 0.0], None),
    ],
)
def test_differences(got: list[float], expected: list[float], wrong: str | None) -> None:
    found = difference(
        {"one": torch.tensor(got)[:, None]}, {"one": torch.tensor(expected)[:, None]}, 0.0625
    )
    assert (found is None) if wrong is None else (found is not None and wrong in found)


def test_outputs_without_real_numbers_cannot_be_compared() -> None:
    assert "forward gives no real numbers" in (
        difference(torch.ones(3, dtype=torch.int64), torch.ones(3), 0.1) or ""
    )


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (
            {"module": None, "artifact": {"format": "onnx"}},
            "a model of the format onnx, whose types are fixed; allowed: float32",
        ),
        ({"module": None}, "a handler without a module, whose types are fixed; allowed: float32"),
    ],
)
def test_only_a_module_of_weights_can_be_lowered(manifest: dict[str, Any], said: str) -> None:
    check_precision(manifest, "float32")
    with pytest.raises(ModelError, match=said):
        check_precision(manifest, "bf16")
