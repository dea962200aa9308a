"""`train`: which rows are learned from, what is refused before any is read, and what is registered
of what was learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.errors import BatchInferError, ConfigError, InputError, InputMissing, ModelError
from batchinfer.pipeline.scoring.resolved_inputs import resolve_model
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.pipeline.train import train_pipeline
from batchinfer.pipeline.training.chosen_slices import slices_to_learn_from

NEXT, LATER = "2026-11-22", "2026-11-25"
NO_LABELS = "id,color,size,big\n" + "".join(f"{n},red,{n}.5,\n" for n in range(5))


def versions(project: SmallProject) -> list[str]:
    return [one["version"] for one in project.context().registry.versions("small")]


@pytest.fixture
def days(local: SmallProject) -> SmallProject:
    local.write("in/a.csv", csv_of(range(3)))
    for day in (DAY, NEXT, LATER):
        local.extract(day)
    return local


@pytest.mark.parametrize(
    ("slices", "start", "end", "found"),
    [
        ((), None, None, []),
        ((NEXT, DAY), None, None, [NEXT, DAY]),
        ((), DAY, NEXT, [DAY, NEXT]),
        ((), NEXT, "2026-11-30", [NEXT, LATER]),
        ((), LATER, LATER, [LATER]),
    ],
)
def test_slices_to_learn_from_are_those_named_or_those_of_a_range_that_landed(
    days: SmallProject,
    slices: Sequence[str],
    start: str | None,
    end: str | None,
    found: list[str],
) -> None:
    assert slices_to_learn_from(days.context(), slices, start, end) == found


@pytest.mark.parametrize(
    ("slices", "start", "end", "error", "said"),
    [
        ((DAY,), DAY, NEXT, ConfigError, "got a mix of --slice, --from and --to"),
        ((), DAY, None, ConfigError, "both --from and --to"),
        ((), None, DAY, ConfigError, "both --from and --to"),
        (("yesterday",), None, None, ConfigError, "yesterday"),
        ((), "2026-11-26", "2026-11-30", InputMissing, f"landed: {DAY}, {NEXT}, {LATER}"),
    ],
)
def test_slices_that_cannot_be_learned_from_are_refused(
    days: SmallProject,
    slices: Sequence[str],
    start: str | None,
    end: str | None,
    error: type[BatchInferError],
    said: str,
) -> None:
    with pytest.raises(error, match=said):
        slices_to_learn_from(days.context(), slices, start, end)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("features:\n  - standardize: {columns: size}\n  - one_hot: {columns: color}\n", "",
         "no features, but train needs some"),
        ("train:\n", "train:\n  model: {python: 'no_such_module:Net'}\n",
         r"train\.model\.python: .*no_such_module"),
        ("train:\n", "train:\n  model: {python: 'unit.pipeline.one_process:OneProcess'}\n",
         r"train\.model\.python: .*OneProcess"),
    ],
)  # fmt: skip
def test_a_pipeline_that_cannot_be_trained_is_told_before_a_session_is_opened(
    local: SmallProject, old: str, new: str, said: str
) -> None:
    local.write("in/a.csv", csv_of(range(5)))
    local.extract()
    local.edit("hidden: [4], ", "")
    local.edit(old, new)

    def no_session() -> None:
        raise AssertionError("a session was opened")

    local.open_session = no_session
    with pytest.raises(ConfigError, match=said):
        local.train()
    assert not (local.root / "var/mlflow.db").exists()


def test_no_train_section_and_an_alias_that_cannot_be_are_told(local: SmallProject) -> None:
    text = (local.root / "conf/pipelines/small.yaml").read_text()
    cut = text[: text.index("train:\n")] + text[text.index("model: ") :]
    local.write("conf/pipelines/small.yaml", cut)
    with pytest.raises(ConfigError, match="no train section"):
        local.train()
    with pytest.raises(ConfigError, match="v2"):
        train_pipeline(local.context(), [], local.open_session, "v2")


def test_a_trained_model_whose_pipeline_lost_its_train_section_is_told_both_ways(
    ready: SmallProject,
) -> None:
    ready.edit("one_hot: {columns: color}", "one_hot: {columns: color, max_categories: 2}")
    with pytest.raises(ModelError, match="features, step 2") as caught:
        resolve_model(TableColumns(ready.context()))
    assert caught.value.hint == (
        "batchinfer train -p small makes a version of what the pipeline file says"
    )
    text = (ready.root / "conf/pipelines/small.yaml").read_text()
    cut = text[: text.index("train:\n")] + text[text.index("model: {uri") :]
    ready.write("conf/pipelines/small.yaml", cut)
    with pytest.raises(ModelError, match="features, step 2") as caught:
        resolve_model(TableColumns(ready.context()))
    assert "no train section now: put it back, or register" in str(caught.value.hint)


def test_a_version_says_what_it_learned_from_and_scores(ready: SmallProject) -> None:
    report = ready.train("train.params.seed=2")
    assert (report.model_version, report.alias, report.source_version) == ("2", "champion", 1)
    assert report.rows_train + report.rows_validation == 40
    context = ready.context()
    model = resolve_model(TableColumns(context))
    assert (model.ref.version, model.ref.digest) == ("2", report.bundle_digest)
    assert model.signature["inputs"] == [
        {"name": "color", "type": "string"},
        {"name": "size", "type": "double"},
    ]
    facts: dict[str, Any] = model.manifest["facts"]
    assert (facts["training_table"], facts["training_version"], facts["pipeline"]) == (
        context.landed,
        1,
        "small",
    )
    assert facts["metrics"] == report.metrics and "auc" in report.metrics
    assert ready.score().model_version == "2"


def test_the_same_table_and_seed_give_the_same_weights(ready: SmallProject) -> None:
    first, again, other = (ready.train(f"train.params.seed={seed}") for seed in (5, 5, 6))
    assert first.metrics == again.metrics and first.bundle_digest == again.bundle_digest
    assert other.bundle_digest != first.bundle_digest


def test_only_the_slices_that_are_named_are_learned_from(ready: SmallProject) -> None:
    ready.write("in/b.csv", csv_of(range(100, 120)))
    ready.extract(NEXT)
    report = train_pipeline(ready.context(), [DAY], ready.open_session)
    assert report.rows_train + report.rows_validation == 40
    both = train_pipeline(ready.context(), [], ready.open_session, "challenger")
    assert both.rows_train + both.rows_validation == 100, "the next day has both files"
    with pytest.raises(InputMissing, match="2026-11-23"):
        train_pipeline(ready.context(), ["2026-11-23"], ready.open_session)


def test_rows_that_nothing_can_be_learned_from_register_nothing(ready: SmallProject) -> None:
    before = versions(ready)
    ready.write("in/a.csv", NO_LABELS)
    ready.extract(NEXT)
    with pytest.raises(InputError, match="no row to learn from"):
        train_pipeline(ready.context(), [NEXT], ready.open_session)
    ready.write("in/a.csv", NO_LABELS.replace(",\n", ",no\n"))
    ready.extract(LATER)
    with pytest.raises(InputError, match="one class only"):
        train_pipeline(ready.context(), [LATER], ready.open_session)
    ready.write("in/a.csv", csv_of(range(0)))
    ready.extract("2026-11-26")
    with pytest.raises(InputError, match="no rows to learn from in slices 2026-11-26"):
        train_pipeline(ready.context(), ["2026-11-26"], ready.open_session)
    assert versions(ready) == before


def test_labelled_data_of_their_own_land_beside_and_are_learned_from(ready: SmallProject) -> None:
    ready.write("labelled/a.csv", csv_of(range(200, 230)))
    ready.edit("train:\n", "train:\n  source: {path: labelled/*.csv}\n")
    report = ready.train()
    assert report.rows_train + report.rows_validation == 30
    assert report.source_table == ready.context().landed_for_training
    assert ready.states() == {DAY: "missing"}, "they are no slice that could be scored"
    with pytest.raises(ConfigError, match="got --slice as well; allowed: train without slices"):
        train_pipeline(ready.context(), [DAY], ready.open_session)


def test_a_model_is_validated_on_the_latest_rows_where_the_file_says_so(
    ready: SmallProject,
) -> None:
    report = ready.train("train.params.validation_by=size", "train.params.validation_share=0.25")
    assert (report.rows_train, report.rows_validation) == (30, 10)
