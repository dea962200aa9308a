"""`model.compile` in a whole run: what one run compiled travels with the next, and a compiler that
fails is a warning.
"""

from __future__ import annotations

import base64

import pytest
from spark.projects import DAY, SmallProject

from batchinfer.models.handler import Regressor
from batchinfer.pipeline.scoring.compiled_programs import (
    keep_compiled,
    load_compiled,
    ship_compiled,
)
from batchinfer.pipeline.scoring.task_result import CompiledPrograms


@pytest.fixture
def trained(small: SmallProject) -> SmallProject:
    small.extract()
    small.train()
    return small


def test_a_run_compiles_and_keeps_what_it_compiled(trained: SmallProject) -> None:
    trained.score()
    exact = trained.predictions()
    report = trained.score(DAY, "model.compile=true", force=True)
    found = trained.predictions()
    assert found.keys() == exact.keys()
    assert all(found[key][0] == pytest.approx(exact[key][0], abs=1e-4) for key in exact)
    kept = list((trained.root / "var/compiled" / report.bundle_digest[:16]).glob("*"))
    if report.warnings:  # no C++ compiler here
        assert (len(report.warnings), kept) == (1, [])
        assert report.warnings[0].startswith(
            "model.compile: the module runs as it is, since it could not be compiled: "
        )
        return
    assert [path.suffix for path in kept] == [".bin"]
    assert report.stage_seconds["compile"] > 0
    assert all(device.endswith(", compiled") for device in report.batch_rates)
    assert trained.score().status == "unchanged", "compiled or not, the predictions are the model's"


def test_what_was_kept_reaches_executors_of_such_a_device(trained: SmallProject) -> None:
    context, digest = trained.context(), "ab" * 32
    spark = trained.open_session()
    assert ship_compiled(spark, context.bundle_cache, digest) == ""
    keep_compiled(
        context.bundle_cache, context.run_id, digest, [CompiledPrograms(), _compiled(b"one")]
    )
    first = ship_compiled(spark, context.bundle_cache, digest)
    assert first == ship_compiled(spark, context.bundle_cache, digest)
    assert _given(first, "gpu A") == b"one"
    assert _given(first, "gpu B") is None
    keep_compiled(context.bundle_cache, context.run_id, digest, [_compiled(b"two")])
    second = ship_compiled(spark, context.bundle_cache, digest)
    assert _given(second, "gpu A") == b"two", (
        "an archive is shipped once a session: another program needs another name"
    )


def _compiled(program: bytes) -> CompiledPrograms:
    return CompiledPrograms({"gpu A": base64.b64encode(program).decode()})


def _given(archive: str, device: str) -> bytes | None:
    handler = load_compiled(Regressor, archive, device, "float32")
    return handler._cache  # type: ignore[attr-defined]
