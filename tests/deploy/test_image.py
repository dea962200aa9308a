"""deploy/Dockerfile: its builder's steps run in a bare folder, and what they make runs as Spark on
Kubernetes starts it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest
from deploy.dockerfile import DOCKERFILE, HOME, Image, entrypoint, read_stages, settings

ARGUMENTS, [BASE, BUILDER, LAST] = read_stages(DOCKERFILE.read_text())
DAY = "2026-11-21"
# Every module of the package; what runs when it is imported is no module but a program.
IMPORT_ALL = """
import importlib, pkgutil, batchinfer
found = pkgutil.walk_packages(batchinfer.__path__, "batchinfer.")
names = [m.name for m in found if "daemon" not in m.name]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
BACKEND = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"


def test_the_base_is_pinned_and_what_it_installs_is_small_and_cleaned_up() -> None:
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", ARGUMENTS["PYTHON_IMAGE"])
    assert (BASE.base, BUILDER.base, LAST.base) == ("${PYTHON_IMAGE}", "base", "base")
    [run] = BASE.all("RUN")
    update, install, clean = run.split(" && ")
    assert update == "apt-get update" and clean == "rm -rf /var/lib/apt/lists/*"
    assert install.startswith("apt-get install --yes --no-install-recommends ")
    # ps: Spark's scripts and the tests of running jobs look at processes.
    assert set(install.split()[4:]) == {"openjdk-17-jre-headless", "procps", "tini"}


def test_the_last_stage_runs_as_a_user_without_rights() -> None:
    [user] = LAST.all("RUN")
    assert user.startswith("useradd --uid 185 ") and LAST.all("USER") == ["185:185"]
    assert LAST.all("COPY") == [f"--from=builder {HOME} {HOME}"], (
        "at the same place: a virtual environment cannot be moved"
    )
    # No step behind USER may need rights, and nothing of the builder but its folder comes along.
    assert [word for word, _ in LAST.steps][-2:] == ["USER", "ENTRYPOINT"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The CUDA variant, built: all of it comes from requirements.lock."""
    made = Image(tmp_path_factory.mktemp("image"))
    made.build(BUILDER, VARIANT="cuda")
    return made


def started(image: Image, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The image's entrypoint with the settings of its last stage; tini, which only passes signals
    on, left out.
    """
    told = settings(image.inside(LAST.all("ENV")[0]))
    path = told.pop("PATH").removesuffix(":$PATH")
    environment = {
        **image.environment(path),
        **told,
        "BATCHINFER_HOME": str(image.root / "var"),
        **more,
    }
    script = image.inside(entrypoint(LAST)[-1])
    return subprocess.run(
        [script, *arguments],
        cwd=image.home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.timeout(1800)
def test_the_environment_is_fit_and_holds_what_a_run_needs(image: Image) -> None:
    done = started(image, "batchinfer", "doctor")
    assert answer(done)["status"] == "ok", done.stderr
    for tool in ("pytest", "ruff", "uv", "jupyter"):
        assert not (image.home / ".venv" / "bin" / tool).exists(), f"{tool} is no part of a run"


def test_every_setting_of_the_last_stage_names_something_that_is_there(image: Image) -> None:
    told = settings(image.inside(LAST.all("ENV")[0]))
    for name in ("SPARK_HOME", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"):
        assert Path(told[name]).exists(), f"{name}={told[name]}"
    assert entrypoint(LAST)[:3] == ["/usr/bin/tini", "-s", "--"]


@pytest.mark.timeout(1800)
def test_a_driver_as_spark_on_kubernetes_starts_it_runs_a_night(image: Image) -> None:
    """`driver` with the arguments and the variable that Spark gives the pod; local[2] in place of
    executors' pods.
    """
    data = {"DATA_DIR": str(DOCKERFILE.parents[1] / "examples" / "data")}
    job = f"local://{image.home}/jobs/nightly.py"
    spark = [
        "--conf",
        "spark.master=local[2]",
        "--conf",
        "spark.ui.enabled=false",
        "--class",
        "org.apache.spark.deploy.PythonRunner",
    ]
    answer(started(image, "batchinfer", "extract", "-p", "income", "--slice", "2026-11-20", **data))
    answer(started(image, "batchinfer", "train", "-p", "income", **data))
    done = started(
        image,
        "driver",
        *spark,
        job,
        "--pipeline",
        "income",
        "--slice",
        DAY,
        SPARK_DRIVER_BIND_ADDRESS="127.0.0.1",
        **data,
    )
    report = answer(done)
    assert (report["status"], report["slice"], report["rows_in"]) == ("published", DAY, 3000)
    wrong = started(
        image, "driver", *spark, job, "--pipeline", "nobody", SPARK_DRIVER_BIND_ADDRESS="127.0.0.1"
    )
    assert wrong.returncode == 2, "the pod's exit code is the run's"


@pytest.mark.timeout(1800)
def test_the_cpu_variant_works_without_any_package_of_cuda(tmp_path: Path) -> None:
    """TORCH_INDEX is a folder here, whose torch leads to the one that is installed: the real CPU
    build needs PyTorch's index.

    Everything else is as in the image: what the lock has, less what deploy/image/exclude-cpu.txt
    names.
    """
    image = Image(tmp_path)
    image.build(
        BUILDER,
        until="deploy/image/packages.sh",
        VARIANT="cpu",
        TORCH_INDEX=str(_torch_index(tmp_path / "index")),
    )
    installed = {
        path.name
        for path in (image.home / ".venv/lib/python3.11/site-packages").glob("*.dist-info")
    }
    assert not [name for name in installed if name.startswith(("nvidia", "cuda", "triton"))]
    assert any(name.startswith("torch-") and "+cpu" in name for name in installed)
    python, source = image.home / ".venv" / "bin" / "python", DOCKERFILE.parents[1] / "src"
    environment = {**image.environment(), "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [python, "-c", IMPORT_ALL],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def _torch_index(folder: Path) -> Path:
    """A package index with one wheel, torch of the lock's version with +cpu: a line that leads to
    the installed one.
    """
    import torch

    version = f"{torch.__version__.split('+')[0]}+cpu"
    real, linked, packages = (
        Path(sysconfig.get_path("purelib")),
        folder / "linked",
        folder / "torch",
    )
    for place in (linked, packages):
        place.mkdir(parents=True)
    for name in ("torch", "torchgen", "functorch", "nvidia"):
        os.symlink(real / name, linked / name)
    wheel, info = f"torch-{version}-py3-none-any.whl", f"torch-{version}.dist-info"
    with zipfile.ZipFile(packages / wheel, "w") as archive:
        archive.writestr("torch_elsewhere.pth", f"{linked}\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    (packages / "index.html").write_text(f'<a href="{wheel}">{wheel}</a>')
    (folder / "index.html").write_text('<a href="torch/">torch</a>')
    return folder


def executor_command(tmp_path: Path, **variables: str) -> list[str]:
    """What the entrypoint makes of an executor's variables, with a java that says its arguments."""
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(
        f"#!{sys.executable}\nimport json, os, sys\nprint(json.dumps([os.getpid(), "
        "*sys.argv[1:]]))\n"
    )
    java.chmod(0o755)
    environment = {
        "PATH": "/usr/bin:/bin",
        "JAVA_HOME": str(tmp_path),
        "SPARK_HOME": "/spark",
        **variables,
    }
    script = DOCKERFILE.with_name("entrypoint.sh")
    running = subprocess.Popen(
        [str(script), "executor"], env=environment, stdout=subprocess.PIPE, text=True
    )
    out, _ = running.communicate(timeout=30)
    pid, *arguments = json.loads(out)
    assert pid == running.pid, "the JVM takes the script's place: signals of the pod reach it"
    return arguments


def test_an_executor_gets_what_its_driver_said(tmp_path: Path) -> None:
    variables = {
        "SPARK_JAVA_OPT_0": "-Dspark.driver.port=7078",
        "SPARK_JAVA_OPT_1": "-Done=with a space",
        "SPARK_EXECUTOR_MEMORY": "1024m",
        "SPARK_EXECUTOR_CORES": "2",
        "SPARK_EXECUTOR_ID": "7",
        "SPARK_EXECUTOR_POD_IP": "10.1.2.3",
        "SPARK_EXECUTOR_POD_NAME": "p-exec-7",
        "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@driver:7078",
        "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_RESOURCE_PROFILE_ID": "3",
        "SPARK_CONF_DIR": "/opt/spark/conf",
    }
    said = executor_command(tmp_path, **variables)
    assert said[:4] == ["-Dspark.driver.port=7078", "-Done=with a space", "-Xms1024m", "-Xmx1024m"]
    assert said[4:7] == [
        "-cp",
        "/opt/spark/conf:/spark/jars/*",
        "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
    ]
    options = dict(zip(said[7::2], said[8::2], strict=True))
    assert options == {
        "--driver-url": variables["SPARK_DRIVER_URL"],
        "--executor-id": "7",
        "--cores": "2",
        "--app-id": "spark-1",
        "--hostname": "10.1.2.3",
        "--resourceProfileId": "3",
        "--podName": "p-exec-7",
    }


def test_sparks_own_class_takes_those_options(image: Image) -> None:
    """The class is in Spark's jars and reads the options: an address that leads nowhere is what it
    ends with.
    """
    known = {
        "SPARK_EXECUTOR_MEMORY": "512m",
        "SPARK_EXECUTOR_CORES": "1",
        "SPARK_EXECUTOR_ID": "1",
        "SPARK_APPLICATION_ID": "a",
    }
    pod = {
        "SPARK_EXECUTOR_POD_IP": "127.0.0.1",
        "SPARK_EXECUTOR_POD_NAME": "p",
        "SPARK_RESOURCE_PROFILE_ID": "0",
    }
    done = started(
        image,
        "executor",
        SPARK_DRIVER_URL="spark://CoarseGrainedScheduler@127.0.0.1:9",
        **known,
        **pod,
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "127.0.0.1:9" in said and "Unrecognized options" not in said, (
        said[-3000:]
    )


def test_other_commands_pass_with_their_exit_code(tmp_path: Path) -> None:
    script = str(DOCKERFILE.with_name("entrypoint.sh"))
    done = subprocess.run(
        [script, "sh", "-c", "exit 6"],
        env={"PATH": "/usr/bin:/bin", "SPARK_HOME": "/spark"},
        check=False,
        timeout=30,
    )
    assert done.returncode == 6
