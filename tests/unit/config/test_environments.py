"""The environments that are shipped: each loads, each setting of Spark says why, each asks for the
places it needs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from batchinfer.config.environment import ModelTask
from batchinfer.config.loader import load_environment, load_state
from batchinfer.errors import ConfigError

CHECKOUT = Path(__file__).parents[3]
FILES = [
    CHECKOUT / "conf" / "base" / "environment.yaml",
    *sorted((CHECKOUT / "conf" / "environments").glob("*.yaml")),
]
REMOTE = ("cluster", "gpu", "kubernetes")
PLACES = ("LAKE", "REGISTRY", "STAGING", "REPORTS")


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PLACES:
        monkeypatch.setenv(f"BATCHINFER_{name}", f"/mnt/shared/{name.lower()}")
    for name in ("SPARK_MASTER", "BATCHINFER_SHIP"):
        monkeypatch.delenv(name, raising=False)


def test_there_are_those_that_the_commands_name() -> None:
    assert [file.stem for file in FILES[1:]] == ["cluster", "gpu", "kubernetes", "local"]


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("name", [*REMOTE, "local"])
def test_each_loads(name: str) -> None:
    environment = load_environment(name, CHECKOUT)
    assert (environment.spark.master is None) == (name in REMOTE)
    assert environment.spark.ship == {"cluster": "environment", "local": "package"}.get(
        name, "nothing"
    )
    assert environment.spark.model_task == (ModelTask(gpus=0.5) if name == "gpu" else ModelTask())
    if name in REMOTE:
        assert environment.lake == "/mnt/shared/lake"
        assert environment.spark.conf["spark.speculation"] is False, (
            "a second copy's files would be orphans"
        )


@pytest.mark.parametrize("name", REMOTE)
def test_each_asks_for_places_that_all_machines_reach(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in PLACES:
        monkeypatch.delenv(f"BATCHINFER_{place}", raising=False)
    with pytest.raises(ConfigError) as told:
        load_environment(name, CHECKOUT)
    missing = set(re.findall(r"BATCHINFER_([A-Z]+)", " ".join(told.value.problems)))
    assert missing == set(PLACES), "a default would be a folder that only the driver sees"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_setting_of_spark_says_why(file: Path) -> None:
    lines = file.read_text().splitlines()
    begins = lines.index("spark:")
    bare = [
        line.strip()
        for number, line in enumerate(lines)
        if number > begins and not _is_explained(lines, number)
    ]
    assert not bare


def _is_explained(lines: list[str], number: int) -> bool:
    """Whether a line is no setting, or a comment stands above it, or above the settings right
    before it.
    """
    setting = re.compile(r"    spark\.[\w.]+:|    - -|  (master|ship|model_task):")
    while setting.match(lines[number]):
        number -= 1
        if lines[number].strip().startswith("#"):
            return True
        if not setting.match(lines[number]):
            return False
    return True


@pytest.mark.usefixtures("places")
def test_the_master_comes_from_the_variable_where_the_environment_names_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPARK_MASTER", "spark://host:7077")
    assert load_state("cluster")[0].spark.master == "spark://host:7077"
    assert load_state("local")[0].spark.master == "local[*,4]", (
        "what a file says is not overruled in silence"
    )


@pytest.mark.parametrize("gpus", [1, 2])
def test_the_discovery_script_tells_what_nvidia_smi_lists(gpus: int, tmp_path: Path) -> None:
    # The tool itself needs a GPU; this one prints what it prints, by the options that it is given.
    tool = tmp_path / "nvidia-smi"
    lines = "\\n".join(map(str, range(gpus)))
    tool.write_text(
        "#!/bin/sh\n[ \"$*\" = '--query-gpu=index --format=csv,noheader' ] && printf "
        f"'{lines}\\n'\n"
    )
    tool.chmod(0o755)
    script = CHECKOUT / "deploy" / "gpus.sh"
    done = subprocess.run(
        [str(script)],
        env={"PATH": f"{tmp_path}:{os.defpath}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {
        "name": "gpu",
        "addresses": [str(number) for number in range(gpus)],
    }


def test_a_machine_without_a_gpu_is_told_on_standard_error(tmp_path: Path) -> None:
    script = CHECKOUT / "deploy" / "gpus.sh"
    done = subprocess.run(
        [str(script)], env={"PATH": os.defpath}, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        pytest.skip("this machine has a GPU")
    assert (
        not done.stdout
        and "gpus.sh: nvidia-smi failed; does this machine have a GPU" in done.stderr
    )
