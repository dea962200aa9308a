"""Where state lies: beside the pipeline file's project; and what is told of state elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from batchinfer.config.loader import load_environment, load_pipeline, load_state
from batchinfer.config.project import State, environment_layers, settings_folder
from batchinfer.errors import ConfigError

from .conftest import GOOD

CHECKOUT = Path(__file__).parents[3]
ALONE = GOOD.replace("good", "lonely")


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a folder without `conf/` that holds a pipeline file, and goes there."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "x.yaml").write_text(ALONE)
        monkeypatch.chdir(folder)
        return folder

    return make


def land(home: Path, name: str = "lonely") -> None:
    (home / "lake" / "landed" / name / "_delta_log").mkdir(parents=True)


def test_two_folders_with_one_name_of_a_pipeline_share_nothing(
    alone: Callable[[str], Path],
) -> None:
    first, second = alone("first"), alone("second")
    one, other = load_pipeline(first / "x.yaml"), load_pipeline("x.yaml")
    assert one.pipeline.name == other.pipeline.name
    assert [one.state, other.state] == [
        State(folder / "var", f"{folder}/var/lake", f"sqlite:///{folder}/var/mlflow.db")
        for folder in (first, second)
    ]


def test_a_conf_that_comes_later_leaves_the_state_where_it_is(alone: Callable[[str], Path]) -> None:
    folder = alone("mine")
    before = load_pipeline("x.yaml").home
    (folder / "conf" / "pipelines").mkdir(parents=True)
    (folder / "x.yaml").rename(folder / "conf" / "pipelines" / "lonely.yaml")
    assert load_pipeline("lonely").home == before == folder / "var"


def test_commands_without_a_pipeline_have_the_state_of_their_folder(
    alone: Callable[[str], Path], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = alone("mine")
    assert load_state()[1] == load_pipeline("x.yaml").home
    assert load_state(start=project / "conf" / "pipelines")[1] == project / "var"
    monkeypatch.chdir(project / "conf")
    assert load_state()[1] == project / "var"
    assert load_state(start=folder)[1] == folder / "var"


def test_a_folder_that_is_named_stands_in_for_the_working_folder(
    alone: Callable[[str], Path], project: Path
) -> None:
    folder = alone("mine")
    assert load_pipeline("good", start=project).home == project / "var"
    assert load_pipeline("good", start=project / "conf").file.parent.parent.parent == project
    assert load_pipeline("x.yaml", start=folder).root == folder
    with pytest.raises(ConfigError, match=r"got 'income'; allowed: a pipeline of .*none"):
        load_pipeline("income", start=folder)
    with pytest.raises(ConfigError, match=r"project: got .*/project, but .*/mine/x.yaml is of the"):
        load_pipeline(folder / "x.yaml", start=project)


def test_state_where_earlier_builds_kept_it_is_told(
    alone: Callable[[str], Path], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = alone("mine")
    land(project / "var")
    monkeypatch.chdir(project)
    file = folder / "x.yaml"
    [said] = load_pipeline(file).warnings
    assert said.startswith(f"state of a pipeline lonely lies in {project}/var, where earlier")
    assert f"{folder}/var, where this one looks, has none" in said
    assert f"export BATCHINFER_HOME={project}/var" in said
    (project / "conf" / "pipelines" / "lonely.yaml").write_text(ALONE)
    assert load_pipeline(file).warnings == (), "it is that pipeline's"
    (project / "conf" / "pipelines" / "lonely.yaml").unlink()
    monkeypatch.setenv("BATCHINFER_HOME", str(tmp_home := folder / "elsewhere"))
    assert load_pipeline(file).warnings == () and not tmp_home.exists()
    monkeypatch.delenv("BATCHINFER_HOME")
    land(folder / "var", "another")
    assert len(load_pipeline(file).warnings) == 1
    land(folder / "var")
    assert load_pipeline(file).warnings == (), "it has begun here"


def test_state_in_the_checkout_or_beside_the_file_is_told_too(
    alone: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, checkout = alone("mine"), tmp_path / "checkout"
    monkeypatch.setattr("batchinfer.config.project.checkout", lambda: checkout)
    land(checkout / "var")
    [said] = load_pipeline("x.yaml").warnings
    assert f"{checkout}/var" in said
    land(folder / "var")
    (tmp_path / "conf").mkdir()
    moved = load_pipeline("x.yaml")
    assert moved.home == tmp_path / "var"
    assert [
        f"lies in {place}/var" in said
        for place, said in zip((folder, checkout), moved.warnings, strict=True)
    ] == [True, True]


def test_the_state_folder_is_told_once_and_without_passwords(tmp_path: Path) -> None:
    state = State(tmp_path / "var", "s3a://bucket/lake", "postgresql://me:canary@host/models")
    said = state.told_once()
    assert said is not None and "canary" not in said + str(state.to_json())
    assert f"makes the state folder {tmp_path}/var (tables: s3a://bucket/lake; models: " in said
    assert state.to_json()["home"] == f"{tmp_path}/var"
    state.home.mkdir()
    assert state.told_once() is None


def test_environments_come_with_the_package_where_there_is_no_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_checkout = load_environment("local", tmp_path)
    monkeypatch.setattr("batchinfer.config.project.checkout", lambda: None)
    assert settings_folder() == CHECKOUT / "src" / "batchinfer" / "settings"
    assert load_environment("local", tmp_path) == with_checkout
    files, names = environment_layers("local", tmp_path)
    assert names == ["cluster", "gpu", "kubernetes", "local"] and len(files) == 2
    (tmp_path / "conf" / "environments").mkdir(parents=True)
    (tmp_path / "conf" / "environments" / "local.yaml").write_text("lake: mine\n")
    assert load_environment("local", tmp_path).lake == "mine"
    monkeypatch.setattr("batchinfer.__file__", str(tmp_path / "batchinfer.zip/batchinfer/x.py"))
    assert settings_folder() is None
    monkeypatch.setenv("BATCHINFER_SETTINGS", str(CHECKOUT / "conf"))
    assert settings_folder() == CHECKOUT / "conf", "a job whose package is a zip is told"
