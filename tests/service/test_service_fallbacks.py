"""Answers for keys without a fresh prediction: absent, in quarantine, too old."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families
from service.served_project import (
    Served,
    get,
    new_project,
    post,
    problem,
    publish,
    rows,
    serving,
    write_generation,
)

from batchinfer.errors import ConfigError
from batchinfer.lookups.fallback_chain import KEY, OWN_LEVEL
from batchinfer.lookups.stores.stored_rows import stored_key
from batchinfer.pipeline.answering.fallback_answers import add_fallbacks
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.fallbacks.fallback_table import (
    MadeFrom,
    fallback_schema,
    replace_fallbacks,
)

PATH, BATCH = "/v1/predictions/churn", "/v1/predictions/churn:batch"
FALLBACK = """
fallback:
  max_age: {max_age}
  levels:
    - {{name: region, by: [region], sql: "select region, 1.0 as score from predictions"}}
    - {{name: everybody, sql: "select 1.0 as score from predictions"}}
"""
SOUTH, ALL = {"region": "south", "score": 0.25}, {"score": 0.5}


def answers() -> list[dict[str, Any]]:
    """Rows of the table of fallbacks: a region, all, and what was found for customer c77."""
    told = [
        ("region", "south", "region", SOUTH),
        ("everybody", "", "everybody", ALL),
        (OWN_LEVEL, stored_key(["c77", 7_700]).decode(), "region", {"region": "own", "score": 0.7}),
    ]
    return [
        {
            "level": level,
            "by": by,
            "answers": name,
            "row": json.dumps(row),
            "predictions_version": 1,
            "run_id": "r",
            "computed_at": dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc),
        }
        for level, by, name, row in told
    ]


def project_with(folder: Path, max_age: str = "7d") -> Path:
    project = new_project(folder, "churn")
    file = project / "conf/pipelines/churn.yaml"
    file.write_text(file.read_text() + FALLBACK.format(max_age=max_age))
    return project


def load(project: Path) -> None:
    """Predictions and fallbacks, as `load` leaves them."""
    write_generation(project, "churn", "g1", rows(10))
    told = [{**row, "slice": "2026-11-21"} for row in answers()]
    batch = pa.RecordBatch.from_pylist(told, fallback_schema())
    write_generation(project, "churn", "f1", batch, parts=1, key=KEY, part="fallbacks")


@pytest.fixture(scope="module")
def falling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    project = project_with(tmp_path_factory.mktemp("falling"))
    load(project)
    with serving(project, "--workers", "1") as served:
        yield served


def test_a_fresh_row_is_answered_alone(falling: Served) -> None:
    told = get(falling, f"{PATH}?customer=c5&order=5&region=south").json()
    assert told["found"] is True and told.keys() == {"found", "prediction", "age_s"}


def test_levels_answer_for_a_key_that_is_absent(falling: Served) -> None:
    of_region = get(falling, f"{PATH}?customer=new&order=1&region=south")
    assert of_region.status_code == 200
    assert of_region.json() == {"found": False, "fallback": "region", "prediction": SOUTH}
    of_all = get(falling, f"{PATH}?customer=new&order=1").json()
    assert of_all == {"found": False, "fallback": "everybody", "prediction": ALL}
    nowhere = get(falling, f"{PATH}?customer=new&order=1&region=nowhere").json()
    assert nowhere["fallback"] == "everybody"


def test_what_was_found_for_the_key_needs_no_attributes(falling: Served) -> None:
    own = get(falling, f"{PATH}?customer=c77&order=7700").json()
    assert (own["fallback"], own["prediction"]["region"]) == ("region", "own")
    said = get(falling, f"{PATH}?customer=c77&order=7700&region=south").json()
    assert said["prediction"] == SOUTH


def test_a_batch_says_attributes_beside_each_key(falling: Served) -> None:
    keys = [
        {"customer": "c5", "order": 5},
        {"customer": "new", "order": 1, "region": "south"},
        {"customer": "new", "order": 2},
    ]
    told = post(falling, BATCH, json={"keys": keys}).json()
    assert told["generation"] == "g1"
    assert [one["found"] for one in told["results"]] == [True, False, False]
    assert [one.get("fallback") for one in told["results"]] == [None, "region", "everybody"]
    assert told["results"][1]["prediction"] == SOUTH


def test_what_no_level_knows_is_refused(falling: Served) -> None:
    told = problem(get(falling, f"{PATH}?customer=c5&order=5&land=x"), 400, "wrong-parameters")
    assert "of fallbacks: region" in told["detail"]
    body = {"keys": [{"customer": "c5", "order": 5, "region": ["south"]}]}
    told = problem(post(falling, BATCH, json=body), 422, "wrong-attribute")
    assert told["errors"][0]["name"] == "keys[0].region"


def test_half_a_surrogate_is_no_attribute(falling: Served) -> None:
    body = {"keys": [{"customer": "new", "order": 1, "region": "\ud800"}]}
    told = problem(post(falling, BATCH, json=body), 422, "wrong-attribute")
    assert told["errors"] == [
        {
            "name": "keys[0].region",
            "got": r"'\ud800'",
            "allowed": "text, a number, or true and false",
        }
    ]
    assert not any("Traceback" in line for line in falling.lines)


def test_bytes_that_are_no_text_are_no_attribute_of_the_command(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    publish(project, "churn", rows(10))
    context = Context.open("churn", project=project)
    with pytest.raises(ConfigError, match=r"region: got '.udcff', no UTF-8; allowed: text") as told:
        add_fallbacks(context, [], [], {"region": "\udcff"})
    assert told.value.exit_code == 2


def test_fallbacks_are_counted_and_told_to_those_who_watch(falling: Served) -> None:
    get(falling, f"{PATH}?customer=new&order=1")
    text = get(falling, "/metrics").text
    counted = {
        sample.labels["result"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "batchinfer_keys_total"
    }
    assert counted["fallback"] >= 1 and counted["miss"] >= counted["fallback"]
    state = get(falling, "/readyz").json()["pipelines"]["churn"]
    assert (state["state"], state["fallbacks"]["state"]) == ("store", "store")


def test_a_row_that_is_too_old_stands_beside_the_answer_of_a_level(tmp_path: Path) -> None:
    # What the test loads was confirmed an hour ago.
    project = project_with(tmp_path, max_age="30m")
    load(project)
    with serving(project, "--workers", "1") as served:
        told = get(served, f"{PATH}?customer=c5&order=5&region=south")
        assert told.status_code == 200
        body = told.json()
        assert (body["found"], body["stale"], body["prediction"]["order"]) == (True, True, 5)
        assert (body["fallback"], body["fallback_prediction"]) == ("region", SOUTH)


def test_before_a_load_fallbacks_come_from_their_table(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    publish(project, "churn", rows(10))
    with serving(project, "--workers", "1") as served:
        told = problem(get(served, f"{PATH}?customer=new&order=1"), 404, "absent-key")
        assert told["detail"] == "pipeline churn has no prediction of this key"
        context = Context.open(str(project / "conf/pipelines/churn.yaml"), "local")
        replace_fallbacks(context, answers(), "2026-11-21", MadeFrom(1, 1))
        of_region = get(served, f"{PATH}?customer=new&order=1&region=south").json()
        assert of_region == {"found": False, "fallback": "region", "prediction": SOUTH}
        assert get(served, f"{PATH}?customer=c77&order=7700").json()["fallback"] == "region"
