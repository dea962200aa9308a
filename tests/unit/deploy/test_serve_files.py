"""The files that run the service, against the command, its routes and systemd."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from batchinfer.cli import cli
from batchinfer.service.openapi_document import describe
from batchinfer.service.request_guard import HEALTH
from batchinfer.service.served_values import ServiceSettings

DEPLOY = Path(__file__).parents[3] / "deploy"
OBJECTS = {
    one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes/serve.yaml").read_text())
}
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
UNIT = DEPLOY / "systemd" / "batchinfer-serve.service"


def options_of(words: list[str]) -> dict[str, Any]:
    serve = cli.get_command(click.Context(cli), "serve")
    assert serve is not None
    return serve.make_context("serve", words).params


def test_the_pod_runs_the_command_with_options_that_it_has() -> None:
    (container,) = POD["containers"]
    program, command, *words = container["args"]
    assert (program, command) == ("batchinfer", "serve")
    told = options_of(words)
    assert told["port"] == container["ports"][0]["containerPort"]
    assert told["behind_proxy"] and told["host"] == "0.0.0.0"
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert told["api_keys_file"].parent == Path(mounts["callers"])
    assert mounts.keys() == {volume["name"] for volume in POD["volumes"]}
    stop = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert stop + told["drain"] + 5 < POD["terminationGracePeriodSeconds"]


def test_the_probes_ask_paths_that_need_no_key() -> None:
    (container,) = POD["containers"]
    for name, path in (("startup", "/readyz"), ("readiness", "/readyz"), ("liveness", "/healthz")):
        asked = container[f"{name}Probe"]["httpGet"]
        assert asked == {"path": path, "port": container["ports"][0]["name"]}
        assert path in HEALTH
        assert path in describe(ServiceSettings(pipelines=()))["paths"]
    annotations = OBJECTS["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(container["ports"][0]["containerPort"])


def test_what_belongs_together_has_the_same_names() -> None:
    deployment = OBJECTS["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    assert OBJECTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    target = OBJECTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"], "the autoscaler's alone"
    assert {one["metadata"]["namespace"] for one in OBJECTS.values()} == {"batchinfer"}
    (container,) = POD["containers"]
    assert container["resources"]["requests"]["cpu"], "a share of it is what the autoscaler counts"


def test_the_unit_runs_the_command_with_options_that_it_has() -> None:
    text = UNIT.read_text()
    program, command, *words = shlex.split(re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)[0])
    assert (Path(program).name, command) == ("batchinfer", "serve")
    told = options_of(words)
    stop = int(re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[0])
    assert told["drain"] + 5 < stop
    files = int(re.findall(r"^LimitNOFILE=(\d+)$", text, re.MULTILINE)[0])
    assert files > told["most_connections"] + 1_024


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not there")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    # systemd looks whether the program is there.
    text = UNIT.read_text().replace(
        "/opt/batchinfer/.venv/bin/batchinfer", shutil.which("true") or ""
    )
    unit.write_text(text.replace("User=batchinfer", "User=root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "batchinfer" not in done.stderr, done.stderr
