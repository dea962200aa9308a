"""`--set` and `overrides=`: how paths and values are read, and what is said of those that are
wrong.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from batchinfer.config.loader import Loaded, load_pipeline
from batchinfer.errors import ConfigError


def loaded(*overrides: str) -> Loaded:
    return load_pipeline("good", list(overrides))


def refused(overrides: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_pipeline("good", overrides)  # type: ignore[arg-type]
    return list(caught.value.problems)


def test_values_are_read_as_yaml(project: Path) -> None:
    pipeline = loaded(
        "model.batch.rows=512",
        "train.params.hidden=[64, 32]",
        "source.options.header=false",
        "model.device=cpu",
    ).pipeline
    assert pipeline.model.batch.rows == 512
    assert pipeline.train is not None
    assert pipeline.train.params == {"hidden": [64, 32]}
    assert pipeline.source.options.model_dump()["header"] is False
    assert pipeline.model.device == "cpu"


def test_list_items_columns_with_dots_and_repeated_paths(project: Path) -> None:
    file = project / "conf" / "pipelines" / "good.yaml"
    file.write_text(file.read_text().replace("age: int,", "age: int, pm2.5: int,"))
    pipeline = loaded(
        "features[0].standardize.columns=[id]",
        "features.0.standardize.columns=[age, id]",
        "source.schema.pm2.5=double",
        'source.schema."pm1.0"=float',
    ).pipeline
    assert pipeline.features == ({"standardize": {"columns": ["age", "id"]}},)
    assert pipeline.source.schema_ is not None
    assert pipeline.source.schema_["pm2.5"].type == "double"
    assert pipeline.source.schema_["pm1.0"].type == "float"


def test_values_from_python_are_taken_as_they_are(project: Path) -> None:
    given = {
        "source.options": {"header": False},
        "source.options.trim": False,
        "source.path": project / "x.csv",
        "model.batch.rows": 7,
    }
    pipeline = load_pipeline("good", given).pipeline
    assert pipeline.source.path == (str(project / "x.csv"),)
    options = pipeline.source.options.model_dump()
    assert (options["header"], options["trim"], pipeline.model.batch.rows) == (False, False, 7)
    assert given["source.options"] == {"header": False}, "what the caller holds is not changed"
    assert refused({"model.batch.rows": "7"}) == [
        "overrides['model.batch.rows'] (model.batch.rows): got '7'; allowed: auto, or a whole "
        "number from 1 up "
        "(written without quotes)"
    ]


def test_variables_are_filled_in_overrides_too(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERE", "here")
    assert loaded("source.path=${HERE}/x.csv").pipeline.source.path == ("here/x.csv",)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "model.batch.row=5",
            "--set model.batch.row=5 (model.batch.row): unknown field row (did you mean rows?); "
            "allowed: rows, max_b",
        ),
        (
            "modle.road=auto",
            "--set modle.road=auto (modle): unknown field modle (did you mean model?)",
        ),
        (
            "model.road=atuo",
            "--set model.road=atuo (model.road): got 'atuo' (did you mean auto?); allowed: auto, "
            "direct, arrow, pandas",
        ),
        ("model.road", "--set model.road: got 'model.road'; allowed: path=value"),
        ("=5", "--set =5: got '=5'; allowed: path=value"),
        ("a..b=5", "--set a..b=5: got the path 'a..b'; allowed: names with dots"),
        ("a.=5", "--set a.=5: got the path 'a.'; allowed: names with dots"),
        (
            "name.x=5",
            "--set name.x=5: got 'x' below name, which is 'good'; allowed: paths that lead through "
            "mappings and lists",
        ),
        (
            "features[7].x=5",
            "--set features[7].x=5: got [7], but features has 1 items; "
            "allowed: numbers from 0 to 0",
        ),
        (
            "features.clip=5",
            "--set features.clip=5: features is a list: got 'clip'; allowed: numbers from 0 to 0",
        ),
        ("model[0]=5", "--set model[0]=5: got [0], but model is a mapping; allowed: its keys: uri"),
        ("model.road=[", "--set model.road=[: the YAML cannot be read"),
        (
            "description=no",
            "--set description=no (description): got no, which YAML reads as false; allowed: text",
        ),
    ],
)
def test_overrides_that_are_wrong(project: Path, override: str, sentence: str) -> None:
    found = refused([override])
    assert found[0].startswith(sentence), found


def test_every_wrong_override_is_told(project: Path) -> None:
    found = refused(["a", "model.road=x", "b"])
    assert len(found) == 3


@pytest.mark.parametrize("value", [object(), {1j: 1}, {"a": b"bytes"}])
def test_python_values_that_yaml_could_not_hold(project: Path, value: object) -> None:
    assert refused({"train.params.x": value})[0].startswith("overrides['train.params.x']: got ")


def test_python_values_that_hold_themselves(project: Path) -> None:
    endless: list[object] = []
    endless.append(endless)
    assert refused({"train.params.x": endless}) == [
        "overrides['train.params.x']: got a value nested more than 64 deep"
    ]


def test_paths_from_python_are_text(project: Path) -> None:
    assert refused({5: 1})[0].startswith("overrides[5]: got 5 as the path")


@pytest.mark.parametrize(
    "override",
    [
        "source.path=s3a://AKIA:canary/a+b@bucket/in",
        "source.path=[s3a://AKIA:canary@bucket/in, in",
        "source.path=[s3a://bucket/in, http://me:canary@host/x]",
        "source.roots=s3a://AKIA:canary@bucket",
        "train.source.path=s3a://AKIA:canary@bucket/in",
        "sink.table=s3a://AKIA:canary@bucket/t",
        "source.url=jdbc:postgresql://host/db?password=canary",
        "source.options.password=canary",
        "source={kind: jdbc, url_env: A, table: t, key: id, password_env: 'canary!'}",
        "source={kind: delta, key: id, path: 's3a://AKIA:canary@bucket/t'}",
        "s3a://AKIA:canary@bucket/in",
    ],
)
def test_no_credential_of_an_override_is_shown(project: Path, override: str) -> None:
    found = refused([override])
    assert found and "canary" not in "".join(found), found
    path, _, value = override.partition("=")
    if "{" not in value:
        assert "canary" not in "".join(refused({path: value, "model.road": "x"}))
