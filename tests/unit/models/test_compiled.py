"""Compiled modules: the same predictions for any number of rows; whatever fails, the module runs as
it was, and says so once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from batchinfer.errors import ModelError
from batchinfer.inference.attempt import InProcess
from batchinfer.inference.engine import BatchScorer, Scored
from batchinfer.models.compiled import Compiled
from batchinfer.models.handler import Regressor
from batchinfer.models.manifest import check_compile

Backend = Callable[[Any, Any], Any]


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layers(features)


class Picky(Regressor):
    """Raises on rows that hold 13."""

    def forward(self, tensors: dict[str, torch.Tensor]) -> Any:
        if (tensors["features"] == 13).any():
            raise ValueError("cannot take 13")
        return super().forward(tensors)


def rows_of(count: int) -> pa.RecordBatch:
    random = np.random.default_rng(0)
    return pa.record_batch(
        {name: random.normal(size=count).astype(np.float32) for name in ("a", "b")}
    )


def handler_of(class_: type[Regressor] = Regressor) -> Regressor:
    return class_(Net().eval(), columns=("a", "b"))


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Backend], None]:
    """Puts another backend in place of the C++ compiler, which takes a minute."""

    def put(chosen: Backend) -> None:
        compile_ = torch.nn.Module.compile
        monkeypatch.setattr(
            torch.nn.Module,
            "compile",
            lambda self, **options: compile_(self, backend=chosen, fullgraph=True, **options),
        )
        torch.compiler.reset()

    return put


def predictions(results: list[Scored]) -> list[float]:
    return pa.concat_arrays([scored.predictions["prediction"] for scored in results]).to_pylist()


def test_all_batch_sizes_share_a_program_and_give_what_they_gave(
    backend: Callable[[Backend], None],
) -> None:
    graphs: list[Any] = []

    def counting(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    backend(counting)
    handler = Compiled(handler_of())
    rows = rows_of(300)
    found = [
        predictions(list(BatchScorer(handler, size).score([rows]))) for size in (7, 64, 299, 300)
    ]
    expected = predictions(list(BatchScorer(handler_of(), 50).score([rows])))
    assert all(one == pytest.approx(expected, abs=1e-6) for one in found)
    # The last batch of 299 has one row, which PyTorch compiles apart.
    assert len(graphs) <= 2
    assert handler.warnings == []
    assert handler.compile_s > 0


def refuses(_: Any, __: Any) -> Any:
    raise RuntimeError("no compiler on this machine\n  and much more")


def lies(graph: Any, _: Any) -> Any:
    return lambda *inputs: tuple(one + 1 for one in graph.forward(*inputs))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (refuses, "no compiler on this machine"),
        (lies, "ModelError: the largest difference from what it gave before is 1 in row"),
    ],
)
def test_what_cannot_be_compiled_runs_as_it_was_and_says_so_once(
    backend: Callable[[Backend], None], chosen: Backend, said: str
) -> None:
    backend(chosen)
    handler = Compiled(handler_of())
    rows = rows_of(100)
    results = list(BatchScorer(handler, 10).score([rows]))
    assert predictions(results) == predictions(list(BatchScorer(handler_of(), 10).score([rows])))
    [warning] = handler.warnings
    assert warning.startswith(
        "model.compile: the module runs as it is, since it could not be compiled: "
    )
    assert said in warning and "\n" not in warning
    assert handler.new_cache() is None


def test_a_program_that_fails_for_other_rows_is_given_up(
    backend: Callable[[Backend], None],
) -> None:
    def once(graph: Any, _: Any) -> Any:
        if once.calls:  # type: ignore[attr-defined]
            raise RuntimeError("not again")
        once.calls.append(1)  # type: ignore[attr-defined]
        return graph.forward

    once.calls = []  # type: ignore[attr-defined]
    backend(once)
    handler = Compiled(handler_of())
    results = list(
        BatchScorer(handler, 10).score([rows_of(21)])
    )  # the last row is a batch of its own
    assert [record.message for scored in results for record in scored.failed] == []
    assert len(predictions(results)) == 21
    assert "not again" in handler.warnings[0]


@pytest.mark.parametrize("batch_rows", [1, 4, 100])
def test_a_row_that_raises_on_the_way_costs_itself(
    backend: Callable[[Backend], None], batch_rows: int
) -> None:
    backend(lambda graph, _: graph.forward)
    handler = Compiled(handler_of(Picky))
    values = [13.0 if row in (0, 7) else row + 100.0 for row in range(20)]
    results = list(
        BatchScorer(handler, batch_rows).score([pa.record_batch({"a": values, "b": values})])
    )
    assert [at for scored in results for at in scored.failed_at] == [0, 7]
    assert {record.reason for scored in results for record in scored.failed} == {"model_error"}
    assert handler.warnings == []


def test_the_first_pass_may_take_longer(
    backend: Callable[[Backend], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import faulthandler

    allowed: list[float] = []
    monkeypatch.setattr(
        faulthandler, "dump_traceback_later", lambda seconds, **_: allowed.append(seconds)
    )
    backend(lambda graph, _: graph.forward)
    runner = InProcess(Compiled(handler_of()), timeout_s=5)
    for _ in range(2):
        assert isinstance(runner.run(rows_of(10)), dict)
    assert allowed == [605, 5]


def test_only_a_module_of_weights_can_be_compiled() -> None:
    check_compile({"module": None}, False)
    check_compile({"module": {"class": "a:B"}}, True)
    with pytest.raises(
        ModelError,
        match=r"got true; the bundle holds a model of the format torch\.export, which is no Python",
    ):
        check_compile({"module": None, "artifact": {"format": "torch.export"}}, True)
