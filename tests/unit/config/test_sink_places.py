"""A sink is a place of its own, however it is spelled."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from batchinfer.config.loader import load_pipeline
from batchinfer.config.sink_places import located
from batchinfer.errors import ConfigError

from .conftest import GOOD

Problems = Callable[..., list[str]]


def with_sink(table: str, name: str = "good", more: str = "") -> str:
    text = GOOD.replace("name: good", f"name: {name}")
    return text.replace("sink: {table: predictions/good}", f"sink: {{table: {table!r}{more}}}")


def other(project: Path, table: str, name: str = "other", more: str = "") -> None:
    (project / "conf" / "pipelines" / f"{name}.yaml").write_text(with_sink(table, name, more))


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ("", "the lake's own folder"),
        (".", "the lake's own folder"),
        ("./", "the lake's own folder"),
        ("predictions/..", "the lake's own folder"),
        ("..", "a folder above the lake"),
        ("/", "a folder above the lake"),
        ("LAKE", "the lake's own folder"),
        ("file://LAKE/", "the lake's own folder"),
        ("predictions", "predictions tables of all pipelines"),
        ("Predictions/", "predictions tables of all pipelines"),
        ("runs", "runs/ of the lake"),
        ("RUNS", "runs/ of the lake"),
        ("runs/", "runs/ of the lake"),
        ("runs/x", "runs/ of the lake"),
        ("_leases/good", "_leases/ of the lake"),
        ("landed/good", "landed/ of the lake"),
        ("./landed//other/", "landed/ of the lake"),
        ("predictions/../landed/good", "landed/ of the lake"),
        ("Quarantine/good", "quarantine/ of the lake"),
        ("LAKE/quarantine/good", "quarantine/ of the lake"),
        ("file://LAKE/quarantine/good", "quarantine/ of the lake"),
        ("file://LAKE/l%61nded/good", "landed/ of the lake"),
        ("file://LAKE/../lake/_delta_log", "_delta_log/ of the lake"),
        ("../staging", "place for staging"),
        ("../staging/x", "place for staging"),
        ("../reports/x", "place for reports"),
        ("../mlartifacts/x", "place for artifacts"),
        ("../mlflow.db", "place for registry"),
        ("../bundles/x", "place for bundles"),
    ],
)
def test_places_of_the_engine_are_no_sink(
    problems: Problems, project: Path, table: str, what: str
) -> None:
    [sentence] = problems(with_sink(table.replace("LAKE", str(project / "var" / "lake"))))
    assert "(sink.table): got" in sentence and what in sentence
    assert "such as predictions/good" in sentence


@pytest.mark.parametrize(
    "table",
    [
        "predictions/good",
        "predictions/2026/good",
        "scores/good",
        "landed_scores",
        "../elsewhere",
        "file:///srv/scores/good",
        "predictions/runs",
    ],
)
def test_what_a_sink_may_be(problems: Problems, table: str) -> None:
    assert problems(with_sink(table)) == []


def test_without_a_sink_it_is_named_after_the_pipeline(project: Path) -> None:
    file = project / "conf" / "pipelines" / "good.yaml"
    file.write_text(GOOD.replace("sink: {table: predictions/good}\n", ""))
    assert load_pipeline("good").pipeline.sink.table is None
    other(project, "predictions/good")
    with pytest.raises(ConfigError, match="which is the sink of pipeline other"):
        load_pipeline("good")


def test_links_are_followed(problems: Problems, project: Path) -> None:
    lake = project / "var" / "lake"
    (lake / "landed").mkdir(parents=True)
    (lake / "predictions").mkdir()
    os.symlink(lake / "landed", lake / "predictions" / "good")
    [sentence] = problems(with_sink("predictions/good"))
    assert "landed/ of the lake" in sentence


def test_nothing_is_written_inside_of_a_table(problems: Problems, project: Path) -> None:
    (project / "var/lake/scores/_delta_log").mkdir(parents=True)
    [sentence] = problems(with_sink("scores/good"))
    assert f"inside of the Delta table {project}/var/lake/scores" in sentence
    assert problems(with_sink("scores")) == []


def test_places_on_a_store(
    problems: Problems, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "conf" / "environments").mkdir()
    (project / "conf" / "environments" / "store.yaml").write_text(
        "lake: s3a://b/lake\nartifacts: s3://b/artifacts\nreports: s3a://b/reports\n"
    )
    for table, what in {
        "s3a://b/lake/landed/x": "landed/ of the lake",
        "s3a://b/lake//runs/": "runs/ of the lake",
        "s3a://b": "a folder above the lake",
        "s3a://b/artifacts/x": "place for artifacts",
    }.items():
        [sentence] = problems(with_sink(table), environment_name="store")
        assert what in sentence
    assert problems(with_sink("s3a://b/scores"), environment_name="store") == []
    assert problems(with_sink("s3a://c/lake/landed/x"), environment_name="store") == []


def test_a_lake_inside_of_a_shared_folder_keeps_its_sinks(
    problems: Problems, project: Path
) -> None:
    (project / "conf" / "environments").mkdir()
    (project / "conf" / "environments" / "one.yaml").write_text(
        "staging: /mnt/one\nlake: /mnt/one/lake\n"
    )
    assert problems(GOOD, environment_name="one") == []


def test_the_table_that_is_read_is_no_sink(problems: Problems) -> None:
    text = GOOD.replace("kind: csv", "kind: delta").replace("  options: {header: true}\n", "")
    text = text.replace("path: data/*.csv", "path: tables/orders")
    [sentence] = problems(text.replace("predictions/good", "../../tables/orders/"))
    assert "the table that the pipeline reads" in sentence
    assert problems(text) == []


@pytest.mark.parametrize(
    ("mine", "theirs", "what"),
    [
        ("predictions/both", "predictions/both/", "which is the sink of pipeline other"),
        ("predictions/both", "predictions/x/../both", "which is the sink of pipeline other"),
        ("predictions/other", None, "which is the sink of pipeline other"),
        ("predictions/both/good", "predictions/both", "inside of the sink of pipeline other"),
        ("scores", "scores/other", "a folder above the sink of pipeline other"),
    ],
)
def test_two_pipelines_have_two_sinks(
    problems: Problems, project: Path, mine: str, theirs: str | None, what: str
) -> None:
    other(project, theirs or "predictions/other")
    if theirs is None:
        file = project / "conf" / "pipelines" / "other.yaml"
        file.write_text(GOOD.replace("good", "other").split("sink:")[0])
    [sentence] = problems(with_sink(mine))
    assert what in sentence and "conf/pipelines/other.yaml" in sentence


def test_a_sink_is_shared_where_both_say_so(problems: Problems, project: Path) -> None:
    shared = ", shared: true"
    other(project, "predictions/both")
    [sentence] = problems(with_sink("predictions/both", more=shared))
    assert "shared: true in the sink of both" in sentence
    other(project, "predictions/both", more=shared)
    [sentence] = problems(with_sink("predictions/both"))
    assert "shared: true in the sink of both" in sentence
    assert problems(with_sink("predictions/both", more=shared)) == []


def test_a_pipeline_that_cannot_be_read_holds_up_no_other(
    problems: Problems, project: Path
) -> None:
    folder = project / "conf" / "pipelines"
    (folder / "broken.yaml").write_text("name: [")
    (folder / "deep.yaml").write_text("[" * 100_000)
    (folder / "latin.yaml").write_bytes(b"name: caf\xe9")
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "unset.yaml").write_text("name: unset\nsink: {table: '${NOT_SET_HERE}'}\n")
    assert problems(GOOD) == []


def test_a_name_is_that_of_one_source(problems: Problems, project: Path) -> None:
    other(project, "predictions/twin", name="good")
    twin = project / "conf" / "pipelines" / "twin.yaml"
    twin.write_text(GOOD)
    assert problems(GOOD) == []
    twin.write_text(GOOD.replace("data/*.csv", "elsewhere/*.csv"))
    [sentence] = problems(GOOD)
    assert "(name): got good, which is the name of the pipeline in" in sentence
    # A file elsewhere is that pipeline, tried out.
    copy = project / "tried" / "good.yaml"
    copy.parent.mkdir()
    copy.write_text(GOOD)
    assert load_pipeline(copy).pipeline.name == "good"


def test_names_that_no_folder_can_have(problems: Problems) -> None:
    [sentence] = problems(GOOD.replace("name: good", f"name: {'g' * 300}"))
    assert "(name): got" in sentence and "up to 200 in all" in sentence
    [sentence] = problems(with_sink(f"predictions/{'p' * 256}"))
    assert "(sink.table): got" in sentence and "255 bytes" in sentence
    [sentence] = problems(with_sink("predictions/a").replace("'predictions/a'", '"a\\0b"'))
    assert "without control characters" in sentence
    assert problems(GOOD.replace("name: good", f"name: {'g' * 200}")) == []


def test_places_that_nobody_here_can_compare() -> None:
    assert located("mlflow-artifacts:/") is None and located("http://mlflow:5000") is None
    assert str(located("s3://b/x/")) == "s3a://b/x"
