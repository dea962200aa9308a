"""`after:` a night begins once the pipelines that it names have published theirs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spark.projects import PIPELINE, csv_of

from batchinfer.config.project import relative
from batchinfer.errors import ConfigError
from batchinfer.nights.nightly import run_nights
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.upstream_names import in_order
from batchinfer.pipeline.plan import plan_slice

from .conftest import TODAY, NightProject

Line = Callable[[], dict[str, Any]]
PLACE = "conf/pipelines/{}.yaml"


def add(root: Path, name: str, after: str) -> str:
    """Adds a pipeline of ingest dates that has no model; returns the path of its file."""
    file = root / PLACE.format(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    text = PIPELINE.replace("small", name).replace("in/*.csv", "more/*.csv")
    text = text.replace("  key: id\n", "")
    file.write_text(text + (f"after: {after}\n" if after else ""))
    return str(file)


def test_a_night_waits_for_the_one_before_it(nights: NightProject, line: Line) -> None:
    later = add(nights.root, "later", "small")
    nights.write("more/a.csv", csv_of(range(5)))
    assert run_nights([later], TODAY) == 6
    body = line()
    [told] = body["errors"]
    own, other = (
        f"batchinfer nightly -p {relative(nights.root / PLACE.format(name))} --slice {TODAY}"
        for name in ("later", "small")
    )
    assert body["next"] == [other, own] and f"{other} publishes it" in body["hint"]
    today = dt.datetime.now(dt.timezone.utc).date()
    assert told.startswith(
        "pipeline small has not published slice 2026-11-20 yet (it has published none); awaited "
        f"since {today}"
    )
    plan = plan_slice(Context.open(later), TODAY)
    assert plan["after"] == [{"pipeline": "small", "slice": "2026-11-20", "published": False}]
    assert any("nightly would wait for it (exit 6)" in text for text in plan["warnings"])
    assert run_nights([later, str(nights.root / PLACE.format("small"))], TODAY) == 7
    first, second = line()["pipelines"]
    assert (first["pipeline"], first["status"]) == ("small", "done"), "whatever order was given"
    assert second["exit_code"] == 7, "it went on to its own extract and score, and has no model"
    assert second["landed"] == [TODAY]
    plan = plan_slice(Context.open(later), TODAY)
    assert plan["after"] == [{"pipeline": "small", "slice": "2026-11-18", "published": True}]


def test_what_an_ingest_date_pipeline_has_to_publish_is_the_day(
    nights: NightProject, line: Line
) -> None:
    add(nights.root, "first", "")
    assert run_nights([add(nights.root, "later", "[first, small]")], TODAY) == 6
    told = line()["errors"]
    assert len(told) == 2 and "pipeline first has not published slice 2026-11-21 yet" in told[0]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (
            "secnd",
            "no such pipeline: got 'secnd' (did you mean second?); allowed: first, fourth, second",
        ),
        ("[second, first]", "got 'first', a circle: first comes after first"),
        (
            "third",
            "got 'third', a circle: first comes after third comes after fourth comes after first",
        ),
    ],
)
def test_unknown_names_and_circles_are_told_when_the_file_is_read(
    tmp_path: Path, after: str, said: str
) -> None:
    for name, its in (("second", ""), ("third", "fourth"), ("fourth", "[second, first]")):
        add(tmp_path, name, its)
    file = add(tmp_path, "first", after)
    with pytest.raises(ConfigError) as caught:
        Context.open(file)
    [problem] = caught.value.problems
    assert said in problem and "first.yaml:" in problem


def test_the_order_of_several(tmp_path: Path) -> None:
    files = {
        name: add(tmp_path, name, after)
        for name, after in (("a", "b"), ("b", "c"), ("c", ""), ("d", ""))
    }
    given = [files["d"], files["a"], "no_such.yaml", files["c"], files["a"]]
    assert in_order(given) == [files["d"], files["c"], files["a"], "no_such.yaml"]
