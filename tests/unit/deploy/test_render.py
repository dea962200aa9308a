"""What `deploy/render.py` writes, against the Spark operator's own schema, systemd and the pipeline
files.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchinfer.cli import cli
from batchinfer.errors import POINTLESS, WORTH_A_RETRY
from deploy import crd

CHECKOUT = Path(__file__).parents[3]
RENDER = CHECKOUT / "deploy" / "render.py"
SCHEDULED = sorted(
    path.stem
    for path in (CHECKOUT / "conf" / "pipelines").glob("*.yaml")
    if "\nschedule:" in path.read_text()
)


def render(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RENDER), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@cache
def application(pipeline: str) -> dict[str, Any]:
    done = render(
        "kubernetes",
        "-p",
        pipeline,
        "--image",
        "registry.example.com/batchinfer:1",
        "--executors",
        "3",
    )
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


def test_there_is_something_to_schedule() -> None:
    assert {"income", "bot_traffic"} <= set(SCHEDULED)


@pytest.mark.parametrize("pipeline", SCHEDULED)
def test_the_operator_takes_what_is_rendered(pipeline: str) -> None:
    made = application(pipeline)
    assert crd.problems(made, crd.schema()) == []
    spec = made["spec"]
    assert (
        spec["schedule"]
        == yaml.safe_load((CHECKOUT / "conf" / "pipelines" / f"{pipeline}.yaml").read_text())[
            "schedule"
        ]
    )
    assert (spec["timeZone"], spec["concurrencyPolicy"]) == ("UTC", "Forbid")
    template = spec["template"]
    assert (template["image"], template["executor"]["instances"]) == (
        "registry.example.com/batchinfer:1",
        3,
    )
    for pod in (template["driver"], template["executor"]):
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 185
        assert {"configMapRef": {"name": "batchinfer"}} in pod["envFrom"]


def test_the_run_on_kubernetes_is_a_job_of_ours_with_options_that_it_has() -> None:
    template = application("income")["spec"]["template"]
    job = template["mainApplicationFile"].removeprefix("local:///opt/batchinfer/")
    assert (CHECKOUT / job).is_file()
    context = cli.commands[Path(job).stem].make_context("x", list(template["arguments"]))
    assert (context.params["refs"], context.params["env"], context.params["tries"]) == (
        ("income",),
        "kubernetes",
        4,
    )
    # The operator cannot tell exit codes apart: it must not try again what the run itself has
    # judged.
    assert template["restartPolicy"]["onFailureRetries"] == 0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "template", "driver", "memmory"), "1g"),
        (("spec", "template", "driver", "securityContext", "runAsUsr"), 1),
        (("spec", "template", "restartPolicy", "type"), "Sometimes"),
        (("spec", "shedule"), "* * * * *"),
        (("spec", "template", "executor", "instances"), "three"),
        (("metadata", "name"), "bot_traffic"),
    ],
)
def test_a_misspelt_field_fails(path: tuple[str, ...], value: object) -> None:
    # Without YAML's references: driver and executor share parts.
    made = json.loads(json.dumps(application("income")))
    place: Any = made
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    [problem] = crd.problems(made, crd.schema())
    assert path[-1] in problem


def units(folder: Path, pipeline: str = "income") -> tuple[Path, Path]:
    # A checkout and a user that are there: systemd-analyze looks at both.
    checkout = folder / "batchinfer"
    checkout.mkdir()
    shutil.copy(CHECKOUT / "spark-submit.sh", checkout)
    done = render(
        "systemd",
        "-p",
        pipeline,
        "--to",
        str(folder),
        "--checkout",
        str(checkout),
        "--user",
        "root",
    )
    assert done.returncode == 0, done.stderr
    name = pipeline.replace("_", "-")
    return folder / f"batchinfer-{name}.service", folder / f"batchinfer-{name}.timer"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not there")
@pytest.mark.parametrize("pipeline", SCHEDULED)
def test_systemd_takes_the_units(tmp_path: Path, pipeline: str) -> None:
    service, timer = units(tmp_path, pipeline)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(service), str(timer)],
        capture_output=True,
        text=True,
        check=False,
    )
    # It also looks at units of the machine: only what it says of ours counts.
    assert "batchinfer" not in done.stderr, done.stderr


def test_systemd_tries_again_what_may_pass(tmp_path: Path) -> None:
    lines = dict(
        line.split("=", 1)
        for line in units(tmp_path)[0].read_text().splitlines()
        if "=" in line and line[0] != "#"
    )
    prevented = [int(code) for code in lines["RestartPreventExitStatus"].split()]
    assert (
        lines["Restart"] == "on-failure"
        and prevented == list(POINTLESS)
        and not {*prevented} & {*WORTH_A_RETRY}
    )
    script, job, *arguments = lines["ExecStart"].split()
    assert Path(script).is_file() and (CHECKOUT / job).is_file()
    assert cli.commands[Path(job).stem].make_context("x", arguments).params["refs"] == ("income",)


def test_cron_runs_the_job_and_ends_with_its_exit_code(tmp_path: Path) -> None:
    checkout = tmp_path / "batchinfer"
    checkout.mkdir()
    said = tmp_path / "said"
    (checkout / "spark-submit.sh").write_text(f'#!/bin/bash\necho "$@" > {said}\nexit 6\n')
    (checkout / "spark-submit.sh").chmod(0o755)
    logger = tmp_path / "logger"
    logger.write_text("#!/bin/bash\ncat > /dev/null\n")
    logger.chmod(0o755)
    done = render("cron", "-p", "bot_traffic", "--checkout", str(checkout), "--env", "cluster")
    settings = dict(line.split("=", 1) for line in done.stdout.splitlines() if line[:4].isupper())
    [line] = [line for line in done.stdout.splitlines() if line[:1].isdigit()]
    assert (
        line.split()[:6] == ["30", "1", "*", "*", "*", "batchinfer"]
        and settings["CRON_TZ"] == "UTC"
    )
    # cron takes everything behind a % that has no backslash as input of the command.
    assert "%" not in line
    command = line.split(" ", 6)[6]
    environment = {"PATH": f"{tmp_path}:{settings['PATH']}"}
    assert (
        subprocess.run([settings["SHELL"], "-c", command], env=environment, check=False).returncode
        == 6
    )
    job, *arguments = said.read_text().split()
    assert cli.commands[Path(job).stem].make_context("x", arguments).params["env"] == "cluster"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'schedule: "15 2 * * *"',
            'schedule: "15 25 * * *"',
            "p.yaml:33: schedule: hour: got '25'; allowed: 0 to 23",
        ),
        ('schedule: "15 2 * * *"', "", "p.yaml: got no schedule; allowed: a line such as"),
        (
            "slice: ingest_date",
            "slice: race",
            "p.yaml: source.slice: got the column race without a unit; allowed",
        ),
        ("name: income", "name: [", "p.yaml: no YAML"),
    ],
)
def test_what_cannot_be_scheduled(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (CHECKOUT / "conf" / "pipelines" / "income.yaml").read_text()
    (tmp_path / "p.yaml").write_text(text.replace(old, new))
    done = render("cron", "-p", str(tmp_path / "p.yaml"))
    assert (done.returncode, done.stdout) == (2, "") and said in done.stderr


def test_a_pipeline_that_is_not_there() -> None:
    done = render("cron", "-p", "incom")
    assert done.returncode == 2 and "got 'incom'" in done.stderr and "income" in done.stderr
