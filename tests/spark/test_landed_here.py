"""What lands and is fitted in this process is what executors of a session land and fit: the same
rows, the same ledger, the same quarantine, the same words.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from spark.projects import DAY, PIPELINE, SmallProject, csv_of

from batchinfer.errors import BatchInferError
from batchinfer.lake.log import read_transactions
from batchinfer.spark.tasks import THIS_PROCESS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HEAD = "id,color,size,big\n"
_OWN = ["run_id", "at"]
_RUN = ("run_id", "seconds", "stage_seconds", "session")


def _project(root: Path, workplace: Any, pipeline: str, files: dict[str, str]) -> SmallProject:
    project = SmallProject(root, lambda: workplace)
    project.write("conf/pipelines/small.yaml", pipeline)
    for name, text in files.items():
        project.write(f"in/{name}", text)
    return project


def _rows(project: SmallProject, kind: str) -> list[str]:
    """As text: NaN is no value that equals itself."""
    place = project.root / "var/lake" / kind / "small"
    if not (place / "_delta_log").is_dir():
        return []
    table = DeltaTable(str(place)).to_pyarrow_table()
    kept = table.drop_columns([name for name in _OWN if name in table.column_names])
    return sorted(str(row) for row in kept.to_pylist())


def _found(project: SmallProject, *overrides: str) -> dict[str, Any]:
    """What an extract comes to, without what differs between any two runs."""
    try:
        report = dataclasses.asdict(project.extract(None, *overrides))
        told = {name: value for name, value in report.items() if name not in _RUN}
    except BatchInferError as error:
        told = {"class": type(error).__name__, "problems": error.problems, "hint": error.hint}
    landed = str(project.root / "var/lake/landed/small")
    known = read_transactions(landed) if DeltaTable.is_deltatable(landed) else {}
    body = json.dumps(told, default=str).replace(str(project.root), "ROOT")
    tables = {kind: _rows(project, kind) for kind in ("landed", "quarantine")}
    return {"report": json.loads(body), "known": dict(known), **tables}


_FIELD = st.sampled_from(["0", "1", "2", "7", "", "x", "1.5", "red", "blue", '"a\nb"', '"open'])
_LINE = st.one_of(
    st.tuples(
        st.sampled_from(["0", "1", "2", "3", "4", "", "x"]),
        st.sampled_from(["red", "blue", "", "../up", "naïve"]),
        st.sampled_from(["1.5", "-0.0", "nan", "", "big"]),
        st.sampled_from(["yes", "no", ""]),
    ).map(",".join),
    st.lists(_FIELD, min_size=0, max_size=6).map(",".join),
)
_TEXT = st.lists(_LINE, max_size=12).map(lambda lines: HEAD + "\n".join(lines))
_FILES = st.dictionaries(st.sampled_from(["a.csv", "b.csv", "c.csv"]), _TEXT, min_size=1)


@settings(
    max_examples=12,
    # An example takes a second: to find a smaller one takes longer than to read this one.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(first=_FILES, then=_FILES, unique=st.booleans())
def test_the_same_sources_land_alike_here_and_by_a_session(
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
    first: dict[str, str],
    then: dict[str, str],
    unique: bool,
) -> None:
    by_color = PIPELINE.replace("slice: ingest_date", "slice: {column: color}")
    pipeline = by_color.replace("0.5", "1.0").replace(
        "  key: id\n",
        f"  key: id\n  on_changed: replace\n{'' if unique else '  unique: assumed'}\n",
    )
    projects = [
        _project(tmp_path_factory.mktemp("land"), workplace, pipeline, first)
        for workplace in (THIS_PROCESS, spark)
    ]
    here, by_session = (_found(project) for project in projects)
    assert here == by_session
    for project in projects:
        for name, text in then.items():
            project.write(f"in/{name}", text)
    here, by_session = (_found(project) for project in projects)
    assert here == by_session


JSON_LINES = """\
{"id": 1, "color": "red", "extra": {"a": 1}}
{"id": 2, "color": "a", "more": [1]}
{"id": 3, "color": "a"}
no json
"""


@pytest.mark.parametrize(
    ("kind", "text"), [("json", JSON_LINES), ("csv", HEAD + "1,red,1.0,no\nbroken\n")]
)
def test_new_keys_and_columns_are_found_alike(
    spark: SparkSession, tmp_path: Path, kind: str, text: str
) -> None:
    pipeline = PIPELINE
    for old, new in (
        ("kind: csv", f"kind: {kind}"),
        ("in/*.csv", f"in/*.{kind}"),
        ("key: id", "key: id\n  columns: {new: add}"),
        ("slice: ingest_date", "slice: {column: color}"),
    ):
        pipeline = pipeline.replace(old, new)
    projects = [
        _project(tmp_path / name, workplace, pipeline, {f"a.{kind}": text})
        for name, workplace in (("here", THIS_PROCESS), ("session", spark))
    ]
    here, by_session = (_found(project) for project in projects)
    assert here == by_session
    assert here["landed"]


KEYS: dict[str, tuple[str, list[str]]] = {
    "int": ("int", ["1", "-3", "1", "2", "2", "2"]),
    "text": ("string", ["é", "b", "é", "B", "b", "a", "a"]),
    "double": ("double", ["0.0", "-0.0", "nan", "NaN", "1.5", "nan"]),
    "float": ("float", ["0.1", "0.1", "3.5"]),
    "decimal": ("decimal(9,2)", ["1.10", "1.1", "-2.00"]),
    "date": ("date", ["2026-01-02", "1969-12-31", "2026-01-02"]),
    "time": ("timestamp", ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z", "1969-12-31T00:00:00Z"]),
    "local": ("timestamp_ntz", ["2026-01-02T03:04:05.000001", "2026-01-02T03:04:05.000001"]),
    "boolean": ("boolean", ["true", "false", "true", "false"]),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("sensitive", [False, True])
def test_keys_that_repeat_are_told_alike(
    spark: SparkSession, tmp_path: Path, name: str, sensitive: bool
) -> None:
    type_, values = KEYS[name]
    pipeline = PIPELINE.replace("{id: int,", f"{{id: '{type_}',").replace(
        "slice: ingest_date", "slice: {column: color}"
    )
    pipeline += "sensitive: [id]\n" if sensitive else ""
    lines = [f"{value},{color},1.0,no" for color in ("red", "blue") for value in values]
    files = {"a.csv": HEAD + "\n".join(lines)}
    told = []
    for folder, workplace in (("here", THIS_PROCESS), ("session", spark)):
        project = _project(tmp_path / folder, workplace, pipeline, files)
        told.append(_found(project)["report"])
    assert told[0] == told[1]
    assert told[0]["class"] == "InputError" and "that repeat" in told[0]["problems"][0]


def test_a_key_that_repeats_with_what_landed_before_is_told_alike(
    spark: SparkSession, tmp_path: Path
) -> None:
    found = []
    for folder, workplace in (("here", THIS_PROCESS), ("session", spark)):
        project = _project(tmp_path / folder, workplace, PIPELINE, {"a.csv": csv_of(range(40))})
        project.extract()
        project.write("in/a.csv", csv_of(range(41)))
        assert project.extract(DAY, "source.on_changed=replace").rows_landed == 41
        project.write("in/b.csv", csv_of(range(39, 45)))
        with pytest.raises(BatchInferError) as caught:
            project.extract(DAY, "source.on_changed=replace")
        found.append(str(caught.value).replace(str(project.root), "ROOT"))
    assert found[0] == found[1]
    assert "slice 2026-11-21" in found[0]


def test_a_model_is_fitted_alike(spark: SparkSession, tmp_path: Path) -> None:
    pipeline = PIPELINE.replace("seed: 1", "seed: 1, validation_by: size, validation_share: 0.2")
    versions = []
    for folder, workplace in (("here", THIS_PROCESS), ("session", spark)):
        project = _project(tmp_path / folder, workplace, pipeline, {"a.csv": csv_of(range(40))})
        project.extract(DAY)
        project.write("in/a.csv", csv_of(range(20, 70)))
        project.extract("2026-11-22", "source.on_changed=replace")
        report = project.train()
        [fitted] = (tmp_path / folder / "var").rglob("transforms.json")
        versions.append((report.metrics, report.rows_superseded, json.loads(fitted.read_text())))
    assert versions[0] == versions[1]
    assert versions[0][1] == 20
