"""Reads OpenLineage events as strictly as the classes of its Python client are: every facet by the
class whose schema it names, and no field more.
"""

from __future__ import annotations

import inspect
import re
import typing
from enum import Enum
from typing import Any, get_args

import attr
from openlineage.client import event_v2, facet_v2
from openlineage.client.generated import base

OWN = "batchinfer_run"


def _facet_classes() -> dict[str, type]:
    found: dict[str, type] = {}
    for _, module in inspect.getmembers(facet_v2, inspect.ismodule):
        for _, one in inspect.getmembers(module, inspect.isclass):
            if issubclass(one, base.BaseFacet) and one.__module__ == module.__name__:
                found[one._get_schema()] = one
    return found


_CLASSES = _facet_classes()


def check_event(event: dict[str, Any]) -> None:
    """Raises where an event is none that the client could have made."""
    assert event["schemaURL"] == event_v2.RunEvent._get_schema()
    run, job = event["run"], event["job"]
    event_v2.Run(run["runId"])
    event_v2.RunState[event["eventType"]]
    event_v2.RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=event_v2.Run(run["runId"]),
        job=event_v2.Job(job["namespace"], job["name"]),
    )
    assert event.keys() <= {
        "eventTime", "producer", "schemaURL", "run", "job", "eventType", "inputs", "outputs",
    }  # fmt: skip
    _check_facets(run["facets"], base.RunFacet)
    _check_facets(job["facets"], base.JobFacet)
    for one in event["inputs"]:
        _check_dataset(one, event_v2.InputDataset)
        _check_facets(one["inputFacets"], base.InputDatasetFacet)
    for one in event["outputs"]:
        _check_dataset(one, event_v2.OutputDataset)
        _check_facets(one["outputFacets"], base.OutputDatasetFacet)


def _check_dataset(one: dict[str, Any], kind: type) -> None:
    assert one.keys() <= {field.name for field in attr.fields(kind)}
    kind(one["namespace"], one["name"])
    assert one["namespace"] and one["name"]
    _check_facets(one["facets"], base.DatasetFacet)


def _check_facets(facets: dict[str, Any], kind: type) -> None:
    for name, facet in facets.items():
        assert re.match(r"[a-z]+:\S+$", facet["_producer"]), facet
        if name == OWN:
            assert facet["_schemaURL"].startswith("urn:batchinfer:facets:")
            continue
        found = _CLASSES[facet["_schemaURL"]]
        assert issubclass(found, kind), f"{name} stands in the wrong place"
        _build(found, facet)


def _build(kind: type, value: dict[str, Any]) -> Any:
    """An object of the client's class with these fields; a field that it has not is an error."""
    known = {**vars(typing), **vars(inspect.getmodule(kind))}
    hints = {
        field.name: eval(field.type, known) if isinstance(field.type, str) else field.type
        for field in attr.fields(kind)
    }
    given = {name: one for name, one in value.items() if name not in ("_producer", "_schemaURL")}
    return kind(**{name: _of(hints[name], one) for name, one in given.items()})


def _of(hint: Any, value: Any) -> Any:
    kinds = [one for one in (hint, *get_args(hint)) if inspect.isclass(one)]
    inner = [arg for one in get_args(hint) for arg in get_args(one) if attr.has(arg)]
    inner += [arg for arg in get_args(hint) if inspect.isclass(arg) and attr.has(arg)]
    if isinstance(value, list):
        return [_build(inner[0], one) if inner and isinstance(one, dict) else one for one in value]
    if isinstance(value, dict) and (own := [one for one in kinds if attr.has(one)]):
        return _build(own[0], value)
    plain = tuple(one for one in kinds if one in (int, float, str, bool))
    assert not plain or isinstance(value, (*plain, Enum)), f"{value!r} is no {hint}"
    return value
