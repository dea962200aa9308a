"""An earlier build's lake without a JVM: states, keys, versions, and what each model predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from yesterday import answers, rows
from yesterday.archive import unpack
from yesterday.elsewhere import TRUSTED, outdated_words
from yesterday.make import PIPELINES

import batchinfer
from batchinfer.models.bundle import verify_bundle
from batchinfer.models.manifest import format_of
from batchinfer.pipeline import predict as predict_module
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.models import model_versions
from batchinfer.pipeline.plan import plan_slice
from batchinfer.show import show_models

# `readings` predicts from columns that other rows make, which needs Spark.
ALONE = [name for name in PIPELINES if name != "readings"]
FORMATS = {"safetensors", "torch.export", "torchscript", "onnx", "skops", "mlflow", "pickle"}


class OldLake:
    """A lake that was unpacked, and what its build said of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said = unpack("format-1", root)

    def context(self, pipeline: str) -> Context:
        return Context.open(answers.pipeline_file(self.root, pipeline))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One lake for tests that change nothing."""
    root = tmp_path_factory.mktemp("yesterday")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BATCHINFER_HOME", raising=False)
        for name, value in answers.variables(root).items():
            patch.setenv(name, value)
        patch.chdir(root)
        yield OldLake(root)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_slices_are_in_the_state_that_they_were_in(old: OldLake, pipeline: str) -> None:
    assert answers.status(old.root, pipeline) == old.said["status"][pipeline]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_keys_have_the_predictions_that_they_had(old: OldLake, pipeline: str) -> None:
    found = old.said["lookups"][pipeline]
    assert len(found) > 4 and None not in found.values()
    file = answers.pipeline_file(old.root, pipeline)
    assert {key: batchinfer.lookup(file, answers.parsed(key)) for key in found} == found


def test_a_lookup_as_of_a_day_sees_what_it_saw(old: OldLake) -> None:
    file = answers.pipeline_file(old.root, "loans")
    for day, found in old.said["as_of"].items():
        assert {key: batchinfer.lookup(file, answers.parsed(key), day) for key in found} == found
    assert [sum(row is None for row in found.values()) for found in old.said["as_of"].values()] == [
        4,
        2,
    ]


def test_the_commands_say_so_too(old: OldLake) -> None:
    told = answers.command(old.root, "status", "-p", "loans")
    assert (told["exit"], [one["status"] for one in told["slices"]]) == (
        0,
        ["stale", "published", "published", "missing"],
    )
    key, row = next(iter(old.said["lookups"]["loans"].items()))
    told = answers.command(old.root, "lookup", "-p", "loans", "--key", key)
    assert (told["exit"], told["prediction"]) == (0, row)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_registry_has_its_versions_and_their_history(old: OldLake, pipeline: str) -> None:
    said, found = old.said["models"][pipeline], model_versions(old.context(pipeline))
    outdated = outdated_words(pipeline, old.context(pipeline).loaded.file)
    marks = [one.pop("outdated") for one in found["versions"]]
    assert [one.pop("evaluated") for one in found["versions"]] == [None] * len(marks)
    assert marks == [outdated, *[[] for _ in marks[1:]]]
    assert {name: found[name] for name in ("versions", "history", "alias")} == {
        name: said[name] for name in ("versions", "history", "alias")
    }


@pytest.mark.parametrize("pipeline", ["flowers_skops", "flowers_onnx", "orders"])
def test_a_plan_warns_of_what_can_be_wrong(
    old: OldLake, pipeline: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_slice(old.context(pipeline), rows.UNSCORED)
    told = outdated_words(pipeline, old.context(pipeline).loaded.file)
    assert (plan["status"], plan["warnings"]) == ("ready", told)
    show_models(model_versions(old.context(pipeline)))
    shown = " ".join(capsys.readouterr().err.split())
    assert ("outdated versions" in shown) is bool(told)


def test_a_version_that_cannot_be_read_is_listed_and_not_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    old = OldLake(tmp_path)
    context = old.context("flowers_skops")
    ref = context.registry.resolve("models:/flowers_skops/1")
    folder = Path(context.registry.fetch(ref, context.bundle_cache))
    (folder / "model.skops").write_bytes(b"")
    (version,) = model_versions(old.context("flowers_skops"))["versions"]
    assert (version["version"], version["outdated"]) == ("1", [])


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.InconsistentVersionWarning")
def test_predicting_warns_the_caller_once(old: OldLake) -> None:
    predict_module._loaded.cache_clear()
    frame = landed_frame(old.root, "flowers_skops")
    [again] = outdated_words("flowers_skops", "flowers_skops")
    again = again.replace(" --alias champion", "")
    with pytest.warns(UserWarning, match="likeliest class") as caught:
        batchinfer.predict(frame, "models:/flowers_skops@champion")
        batchinfer.predict(frame, "models:/flowers_skops@champion")
    (told,) = [one for one in caught if "likeliest class" in str(one.message)]
    assert (str(told.message), told.filename) == (again, __file__)


def test_each_bundle_is_whole_and_there_is_one_of_every_format(old: OldLake) -> None:
    formats = set()
    for pipeline in PIPELINES:
        registry = old.context(pipeline).registry
        for version in old.said["models"][pipeline]["versions"]:
            ref = registry.resolve(f"models:/{pipeline}/{version['version']}")
            folder = registry.fetch(ref, old.root / "var" / "cache")
            manifest = verify_bundle(folder, ref.digest)
            assert (manifest["digest"], folder.is_relative_to(old.root)) == (
                version["digest"],
                True,
            )
            formats.add(format_of(manifest))
    assert formats == FORMATS


def landed_frame(root: Path, pipeline: str) -> pd.DataFrame:
    """The landed rows of the slice that had not been scored; of a table read in place, its own."""
    if pipeline == "shipments":
        table = DeltaTable(str(root / "in" / "shipments")).to_pyarrow_table()
        days = pa.array([str(day) for day in table["day"].to_pylist()])
        return table.append_column("slice", days).to_pandas().query("slice == @rows.UNSCORED")
    return (
        DeltaTable(str(root / "var" / "lake" / "landed" / pipeline))
        .to_pandas()
        .query("slice == @rows.UNSCORED")
    )


@pytest.mark.filterwarnings("ignore")  # of MLflow and scikit-learn, about their own formats
@pytest.mark.parametrize("pipeline", ALONE)
def test_each_model_predicts_what_it_predicted(old: OldLake, pipeline: str) -> None:
    expected = old.said["scored"][pipeline]
    number = "source_line" if pipeline == "weblog" else "id"
    frame = landed_frame(old.root, pipeline).set_index(number, drop=False)
    trust = "pickle" if pipeline in TRUSTED else "none"
    found = batchinfer.predict(frame, f"models:/{pipeline}@champion", trust=trust)
    assert found["error"].isna().all()
    outputs = [name for name in found.columns if name != "error"]
    assert outputs and sorted(found.index) == sorted(row[number] for row in expected)
    for row in expected:
        predicted = {name: answers.plain(found.loc[row[number], name]) for name in outputs}
        assert answers.are_close(predicted, {name: row[name] for name in outputs}), row


def test_an_alias_is_moved_on_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    old = OldLake(tmp_path)
    assert model_versions(old.context("loans"), rollback=True)["version"] == "1"
    assert {one["slice"]: one["status"] for one in answers.status(tmp_path, "loans")} == dict(
        zip(rows.DAYS, ["published", "stale", "stale", "missing"], strict=True)
    )
    assert model_versions(old.context("loans"), promote="3")["version"] == "3"
    told = model_versions(old.context("loans"), promote="2")
    assert {one["version"]: one["aliases"] for one in told["versions"]} == {
        "1": [],
        "2": ["champion"],
        "3": ["trial"],
    }
    former = old.said["models"]["loans"]["history"]
    assert told["history"][: len(former)] == former
    assert [(move["from"], move["to"]) for move in told["history"][len(former) :]] == [
        ("2", "1"),
        ("1", "3"),
        ("3", "2"),
    ]
    # A promotion that changes nothing is none; the way back is the one that was recorded then.
    assert model_versions(old.context("loans"), promote="2")["history"] == told["history"]
    assert answers.status(tmp_path, "loans") == old.said["status"]["loans"]
