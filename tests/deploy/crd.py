"""The Spark operator's own schema, stricter than the API server: a field that it does not know is
an error, not dropped.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator


@cache
def schema() -> dict[str, Any]:
    definition = yaml.load(
        Path(__file__).with_name("scheduledsparkapplications.yaml").read_text(), yaml.CSafeLoader
    )
    [version] = definition["spec"]["versions"]
    closed = _close(version["schema"]["openAPIV3Schema"])
    # What the API server itself knows of every object; the definition says no more than `object`.
    closed["properties"]["metadata"] = {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {
            # It becomes part of a pod's name, with a time of the operator's and a suffix of
            # Spark's.
            "name": {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 40},
            "namespace": {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"},
            "labels": {
                "type": "object",
                "additionalProperties": {"type": "string", "maxLength": 63},
            },
        },
    }
    return closed


def pod_schema() -> dict[str, Any]:
    """A pod, of Kubernetes' own parts as the definition holds them: a sidecar is a whole
    container.
    """
    application = schema()["properties"]["spec"]["properties"]["template"]["properties"]
    driver = application["driver"]["properties"]
    spec = {
        name: driver[name] for name in ("tolerations", "affinity", "nodeSelector", "initContainers")
    }
    spec |= {
        "volumes": application["volumes"],
        "securityContext": driver["podSecurityContext"],
        "containers": driver["sidecars"],
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["spec"],
        "properties": {
            "spec": {"type": "object", "additionalProperties": False, "properties": spec}
        },
    }


def problems(document: Any, against: dict[str, Any]) -> list[str]:
    return sorted(
        f"{error.json_path}: {error.message}"
        for error in Draft7Validator(against).iter_errors(document)
    )


def _close(node: Any) -> Any:
    if isinstance(node, list):
        return [_close(part) for part in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _close(value) for key, value in node.items()}
    open_ended = "additionalProperties" in node or node.get("x-kubernetes-preserve-unknown-fields")
    if node.get("type") == "object" and "properties" in node and not open_ended:
        closed["additionalProperties"] = False
    return closed
