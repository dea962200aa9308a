"""The JSON Schema of a pipeline file takes what the loader takes, and refuses what it refuses by
shape.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from reference_pages.pages import ROOT
from reference_pages.pipeline_examples import FILES, as_editors_read, load_example

from batchinfer.command_line.file_schema import pipeline_schema
from batchinfer.errors import ConfigError

WHOLE: dict[str, Any] = {
    "name": "churn",
    "source": {
        "kind": "csv",
        "path": "data/*.csv",
        "options": {"delimiter": ";"},
        "schema": {"id": "long", "spend": "double", "left": "string"},
        "key": "id",
    },
    "prepare": [{"lag": {"columns": "spend", "by": "id", "order": "id", "periods": 2}}],
    "features": [{"standardize": {"columns": ["spend"]}}],
    "train": {"target": {"column": "left", "positive": ["yes"]}},
    "postprocess": [{"threshold": {"value": 0.5}}],
    "model": {"device": "cpu", "batch": {"rows": 512, "max_bytes": "64MiB"}},
    "checks": {"max_quarantine_rate": 0.05},
    "sink": {"table": "predictions/churn"},
}
# Place, and what is written there; None: the field is left out.
MISTAKES: list[tuple[str, Any]] = [
    ("nam", "churn"),
    ("name", None),
    ("name", "7 days"),
    ("description", 7),
    ("source", None),
    ("source.kind", "cvs"),
    ("source.paht", "data"),
    ("source.path", 7),
    ("source.key", []),
    ("source.schema", {}),
    ("source.schema.id", 7),
    ("source.slice", {"column": "id", "unit": "week"}),
    ("source.on_changed", "keep"),
    ("source.options.delimiter", ";;"),
    ("source.options.header", "yes"),
    ("source.options.delimeter", ";"),
    ("source.quote", 7),
    ("source.columns", {"missing": "drop"}),
    ("features", {"standardize": {"columns": "spend"}}),
    ("features", [{"standardise": {"columns": "spend"}}]),
    ("features", [{"standardize": {}}]),
    ("features", [{"one_hot": {"columns": "left", "min_count": 0}}]),
    ("features", [{"standardize": {"columns": "spend"}, "log1p": {"columns": "spend"}}]),
    ("prepare", [{"rolling": {"columns": "spend", "order": "id", "window": "24 hours"}}]),
    ("prepare", [{"lag": {"columns": "spend", "order": "id", "periods": [0]}}]),
    ("postprocess", [{"round": {"digits": 16}}]),
    ("train.target", None),
    ("train.target.positive", []),
    ("train.model", {"python": "no class"}),
    ("model.uri", "churn@champion"),
    ("model.device", "gpu"),
    ("model.batch.rows", 0),
    ("model.batch.rows", "all"),
    ("model.batch.max_bytes", "64 stones"),
    ("model.batch.timeout_s", 0),
    ("model.compile", "maybe"),
    ("checks.max_quarantine_rate", 2),
    ("checks.max_quarantine_rate", "1%"),
    ("sink.shared", 1),
    ("load", [{"kind": "redis", "url_env": "redis://host"}]),
]


@cache
def validator() -> jsonschema.Draft202012Validator:
    schema = pipeline_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def faults(document: Any) -> list[str]:
    return [
        f"{error.json_path}: {error.message[:300]}" for error in validator().iter_errors(document)
    ]


def with_mistake(place: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(WHOLE)
    *above, last = place.split(".")
    parent = document
    for key in above:
        parent = parent[key]
    if value is None:
        del parent[last]
    else:
        parent[last] = value
    return document


def loads(document: Any, folder: Path) -> bool:
    file = folder / "pipeline.yaml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    try:
        load_example(file)
    except ConfigError:
        return False
    return True


PIPELINES = [*sorted((ROOT / "conf/pipelines").glob("*.yaml")), *sorted(FILES.glob("*.yaml"))]


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: file.stem)
def test_whole_files_are_valid(file: Path) -> None:
    assert faults(as_editors_read(file)) == []


def texts_of_tests() -> Iterator[str]:
    """Texts in the tests that look like a pipeline file."""
    for file in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and "\n" in text and "source:" in text and "name:" in text:
                yield text


def test_files_in_the_tests_that_load_are_valid(tmp_path: Path) -> None:
    found = 0
    for number, text in enumerate(dict.fromkeys(texts_of_tests())):
        folder = tmp_path / str(number)
        folder.mkdir()
        if loads(text, folder):
            found += 1
            assert faults(as_editors_read(folder / "pipeline.yaml")) == [], text
    assert found >= 10


def test_the_file_that_mistakes_are_made_in_is_right(tmp_path: Path) -> None:
    assert loads(WHOLE, tmp_path)
    assert faults(WHOLE) == []


@pytest.mark.parametrize(("place", "value"), MISTAKES, ids=[f"{p}={v}" for p, v in MISTAKES])
def test_what_the_loader_refuses_by_shape_is_invalid(
    place: str, value: Any, tmp_path: Path
) -> None:
    document = with_mistake(place, value)
    assert not loads(document, tmp_path)
    assert faults(document) != []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("source.delimiter", "|"),
        ("source.key", ["id", "left"]),
        ("source.slice", "ingest_date"),
        ("source.schema.spend", {"type": "double", "column": "Spend in €"}),
        ("model.batch.rows", "auto"),
        ("model.batch.rows", "${ROWS:-512}"),
        ("model.batch.max_bytes", 1024),
        ("model.batch.timeout_s", "${PATIENCE:-60}"),
        ("model.compile", "${COMPILE:-false}"),
        ("model.device", "${DEVICE:-cpu}"),
        ("model.unseen", "null"),
        ("train.target.positive", 1),
        ("train.model", {"python": "my_models:Net"}),
        ("prepare", [{"rolling": {"columns": "spend", "order": "id", "window": 3}}]),
        ("features", [{"bucketize": {"columns": "spend", "quantiles": 4}}]),
    ],
)
def test_each_way_of_writing_it_is_valid(place: str, value: Any, tmp_path: Path) -> None:
    document = with_mistake(place, value)
    if place == "source.delimiter":
        del document["source"]["options"]
    assert loads(document, tmp_path)
    assert faults(document) == []


def test_a_variable_is_named_and_never_filled_in(tmp_path: Path) -> None:
    """`url_env: ${NAME}` would be the secret itself."""
    document = with_mistake("load", [{"kind": "redis", "url_env": "${REDIS:-URL}"}])
    assert not loads(document, tmp_path)
    assert faults(document) != []
