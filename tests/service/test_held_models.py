"""Models that workers keep for `:predict`: how many, which of them goes, and those that are loaded
before the first question.
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from service.scored_project import PATH, ROW
from service.served_project import Served, get, post, problem, serving

STEPS, BARE = "/v1/predictions/steps:predict", "/v1/predictions/bare:predict"


def figures(served: Served, name: str) -> dict[str, float]:
    """A figure of each pipeline."""
    return {
        sample.labels["pipeline"]: sample.value
        for family in text_string_to_metric_families(get(served, "/metrics").text)
        for sample in family.samples
        if sample.name == name
    }


def ask(served: Served, path: str) -> None:
    told = post(served, path, json={"rows": [ROW]})
    assert told.status_code == 200, told.text
    assert told.json()["results"][0]["prediction"]["score"] == 4.0


def test_the_model_that_was_asked_longest_ago_makes_room(scoring_project: Path) -> None:
    options = "--workers 1 --most-models 1 --most-seconds 60"
    with serving(scoring_project, *options.split()) as served:
        assert figures(served, "batchinfer_models_held") == {}
        ask(served, PATH)
        ask(served, PATH)
        assert figures(served, "batchinfer_models_held") == {"churn": 1}
        # One without a model takes nobody's room, and a question that is wrong lets none go.
        problem(post(served, BARE, json={"rows": [ROW]}), 424, "no-model")
        problem(post(served, PATH, json={"rows": [{}]}), 422, "wrong-rows")
        assert figures(served, "batchinfer_models_held") == {"churn": 1}
        ask(served, STEPS)
        assert figures(served, "batchinfer_models_held") == {"churn": 0, "steps": 1}
        ask(served, PATH)
        assert figures(served, "batchinfer_models_held") == {"churn": 1, "steps": 0}
        assert figures(served, "batchinfer_models_loaded_total") == {"churn": 2, "steps": 1}


def test_a_wrong_first_question_counts_the_model_that_it_has_loaded(scoring_project: Path) -> None:
    options = "--workers 1 --most-models 1 --most-seconds 60"
    with serving(scoring_project, *options.split()) as served:
        problem(post(served, PATH, json={"rows": [{}]}), 422, "wrong-rows")
        problem(post(served, STEPS, json={"rows": [{}]}), 422, "wrong-rows")
        assert figures(served, "batchinfer_models_held") == {"churn": 0, "steps": 1}


def test_warm_workers_have_their_models_before_the_first_question(scoring_project: Path) -> None:
    options = "--workers 1 --warm --most-models 1 --most-seconds 1"
    with serving(scoring_project, *options.split()) as served:
        (worker,) = served.workers()
        assert "/pandas/" in Path(f"/proc/{worker}/maps").read_text()
        assert figures(served, "batchinfer_models_held") == {"churn": 1}
        ask(served, PATH)
        assert figures(served, "batchinfer_models_loaded_total") == {"churn": 1}
        told = "".join(line for line in served.lines if line[0] != "{")
        assert "pipeline bare: its model is not loaded: " in told
        assert "steps: their models are loaded when they are asked, as --most-models is 1" in told
