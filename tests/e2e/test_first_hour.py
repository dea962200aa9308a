"""The first hour: from an empty folder and somebody's own data to a prediction by the commands that
`init` shows, and ten mistakes that newcomers make, each with its hints followed to the end.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from deltalake import DeltaTable
from e2e import first_hour_data
from e2e.commands import BATCHINFER, CHECKOUT, Project, Result
from hinted import commands_in

SHOP, PIPELINE = "shop.csv", "conf/pipelines/shop.yaml"
DAY_AFTER, THIRD_DAY = "2031-01-02", "2031-01-03"

needs_shared_data = pytest.mark.skipif(
    not first_hour_data.SHARED.is_dir(), reason="the shared real data are not here"
)


def _next(project: Project, done: Result, place: int) -> Result:
    """The command that `init` shows, typed as it stands there."""
    program, *words = shlex.split(done.json["next"][place])
    assert Path(program).name == "batchinfer"
    result = project.run(*words)
    assert result.code == 0, result.stderr
    return result


# Three of the commands start what takes seconds; it is minutes where others compute, too.
@needs_shared_data
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", first_hour_data.OWN_DATA)
def test_four_commands_lead_from_ones_own_data_to_a_prediction(tmp_path: Path, name: str) -> None:
    data = first_hour_data.OWN_DATA[name]
    data.write(tmp_path / data.file)
    project = Project(tmp_path)
    made = project.run("init", name, "--from", data.file, "--target", data.target)
    assert made.code == 0, made.stderr
    trained = _next(project, made, 0).json
    landed = trained["landed_first"]
    assert (landed["rows_landed"], landed["rows_quarantined"]) == (data.records, 0)
    metric, low, high = data.metric
    assert low < trained["metrics"][metric] < high
    scored = _next(project, made, 1).json
    assert ([scored["slice"]], scored["rows_scored"]) == (landed["slices"], data.records)
    assert _next(project, made, 2).json["found"] is True
    table = DeltaTable(str(project.lake / "predictions" / name))
    data.judge(table.to_pandas(), tmp_path / data.file)


@pytest.mark.timeout(900)
def test_the_commands_that_init_shows_lead_past_missing_words_and_bad_lines(tmp_path: Path) -> None:
    first_hour_data.write_patients(tmp_path / "patients.csv")
    project = Project(tmp_path)
    made = project.run("init", "patients", "--from", "patients.csv", "--target", "TARGET")
    assert made.code == 0, made.stderr
    last = made.stderr.rstrip().splitlines()[-1]
    assert last == f"next: {' && '.join(made.json['next'])}"
    assert made.json["created"][-1] == "conf/pipelines/patients.yaml"

    trained = _next(project, made, 0).json
    landed = trained["landed_first"]
    assert (landed["rows_landed"], landed["rows_quarantined"]) == (442, 1)
    assert trained["metrics"]["r2"] > 0.1, "better than naming the mean"
    scored = _next(project, made, 1).json
    assert ([scored["slice"]], scored["rows_scored"]) == (landed["slices"], 442)
    assert shlex.split(made.json["next"][2])[-1] == "patient_id=1000"
    found = _next(project, made, 2).json
    assert found["found"] is True
    assert 25 < found["prediction"]["prediction"] < 346, "within what was learned from"


def tutorial_commands() -> list[str]:
    """The lines of the tutorial's fenced blocks, in their order."""
    text = (CHECKOUT / "docs/tutorial.md").read_text()
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.timeout(900)
def test_every_command_of_the_tutorial_does_what_the_page_says(tmp_path: Path) -> None:
    project, path = Project(tmp_path), f"{BATCHINFER.parent}:{os.environ['PATH']}"
    lines = tutorial_commands()
    results: dict[str, Result] = {}
    for line in lines:
        words = shlex.split(line)
        if words[0] != "batchinfer":
            done = subprocess.run(
                ["bash", "-c", line], cwd=tmp_path, env=project.environment(PATH=path), check=False
            )
            assert done.returncode == 0, line
            continue
        result = project.execute(["bash", "-c", line], PATH=path)
        assert result.code == 0, f"{line}\n{result.stderr}"
        results[words[1]] = result
    assert [*results] == ["init", "train", "score", "lookup", "nightly", "status"]
    shown = [shlex.split(line) for line in results["init"].json["next"]]
    assert [shlex.split(line) for line in lines if "batchinfer" in line][1:4] == shown
    assert "it lands first" in results["train"].stderr
    assert results["train"].json["metrics"]["accuracy"] > 0.8, "growers are told apart"
    assert results["score"].json["rows_scored"] == 178
    assert results["lookup"].json["prediction"]["label"] == "0"
    assert results["nightly"].json["landed"] == results["nightly"].json["scored"] == ["2026-11-22"]
    states = {one["slice"]: one["status"] for one in results["status"].json["slices"]}
    assert len(states) == 2 and set(states.values()) == {"published"}


def test_a_pipeline_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    project = Project(tmp_path)
    first_hour_data.write_irises(tmp_path / "irises.csv")
    assert project.run("init", "irises", "--from", "irises.csv").code == 0
    file = tmp_path / "conf/pipelines/irises.yaml"
    file.write_text("# mine\n")
    again = project.run("init", "irises", "--from", "irises.csv", "--target", "target")
    assert (again.code, file.read_text()) == (2, "# mine\n")
    assert "conf/pipelines/irises.yaml is there already" in again.json["errors"][0]
    missing = project.run("init", "other", "--from", "irisis.csv")
    assert missing.code == 3
    assert "irises.csv" in missing.stderr, "the near name is told"


@dataclass
class Trail:
    """What was typed after a mistake: the commands of the hints, and the first one again.

    Attributes:
        commands: with their exit codes, in their order.
        last: the result of the command that was wanted, once it succeeded.
    """

    project: Project
    commands: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    last: Result | None = None

    def follow(self, *words: str, most: int = 8) -> Result:
        """Types a command; where it fails, the command of its hint, and then the first one again,
        until it succeeds.
        """
        while len(self.commands) < most:
            result = self.project.run(*words)
            self.commands.append((words[0], result.code))
            if result.code == 0:
                self.last = result
                return result
            assert "hint" in result.json, result.stderr
            [hinted, *_] = commands_in(result.json["hint"])
            self.follow(*hinted, most=most)
        raise AssertionError(f"the hints lead in circles: {self.commands}")


def _init_shop(folder: Path) -> Project:
    first_hour_data.write_shop(folder / SHOP)
    project = Project(folder)
    made = project.run("init", "shop", "--from", SHOP, "--target", "returned")
    assert made.code == 0, made.stderr
    return project


@pytest.fixture(scope="module")
def asked_too_early(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    """A lookup as the very first command, and all that its hints lead to."""
    trail = Trail(_init_shop(tmp_path_factory.mktemp("shop")))
    trail.follow("lookup", "-p", "shop", "--key", "order_id=7")
    return trail


@pytest.fixture
def shop(asked_too_early: Trail) -> Iterator[Project]:
    """The project with a published slice; data and pipeline file are as before afterwards."""
    project = asked_too_early.project
    files = [project.root / SHOP, project.root / PIPELINE]
    before = [file.read_bytes() for file in files]
    yield project
    for file, content in zip(files, before, strict=True):
        file.write_bytes(content)


@pytest.mark.timeout(900)
def test_mistake_1_a_lookup_before_anything_was_scored(asked_too_early: Trail) -> None:
    assert asked_too_early.commands == [
        ("lookup", 3), ("extract", 0), ("lookup", 3), ("score", 7), ("train", 0), ("score", 0),
        ("lookup", 0),
    ]  # fmt: skip
    assert asked_too_early.last is not None
    assert asked_too_early.last.json["prediction"]["order_id"] == 7


def _meant(result: Result) -> str:
    """The word that a message asks for in place of the one that was typed; the nearest first."""
    told = " ".join([*result.json["errors"], result.json.get("hint", "")])
    [word] = re.findall(r"[Dd]id you mean (?:one of: )?'?([^',?)]+)", told)
    return word


@pytest.mark.parametrize(
    ("typed", "wrong", "code"),
    [
        (("init", "new", "--from", "shpo.csv"), "shpo.csv", 3),
        (("init", "new", "--from", SHOP, "--target", "retruned"), "retruned", 2),
        (("status", "-p", "shpo"), "shpo", 2),
        (("status", "-p", "shop", "--form", "2026-01-01", "--to", "2026-01-02"), "--form", 2),
        (("staus", "-p", "shop"), "staus", 2),
    ],
    ids=["file", "target", "pipeline", "option", "command"],
)
def test_mistakes_2_to_6_a_word_typed_wrongly(
    tmp_path: Path, typed: tuple[str, ...], wrong: str, code: int
) -> None:
    project = _init_shop(tmp_path)
    failed = project.run(*typed)
    assert failed.code == code
    again = project.run(*(_meant(failed) if word == wrong else word for word in typed))
    assert again.code == 0, again.stderr


@pytest.mark.timeout(900)
def test_mistake_7_a_key_that_is_not_there(shop: Project) -> None:
    absent = shop.run("lookup", "-p", "shop", "--key", "order_id=62")
    assert (absent.code, absent.json["found"]) == (3, False)
    [words] = commands_in(absent.json["hint"])
    found = shop.run(*words)
    assert (found.code, found.json["prediction"]["order_id"]) == (0, 60)


@pytest.mark.timeout(900)
def test_mistake_8_a_column_of_another_name_in_the_file_of_the_night(shop: Project) -> None:
    shop.edit(SHOP, "size", "sise")
    night = ("nightly", "-p", "shop", "--slice", DAY_AFTER)
    failed = shop.run(*night)
    assert failed.code == 3
    edit = re.search(r"size: \{type: double, column: 'sise'\}", failed.json["hint"])
    assert edit is not None, failed.json["hint"]
    shop.edit(PIPELINE, "size: double", edit[0])
    again = shop.run(*night)
    assert (again.code, again.json["scored"]) == (0, [DAY_AFTER]), again.stderr


@pytest.mark.timeout(900)
def test_mistake_9_more_broken_records_than_may_be(shop: Project) -> None:
    text = (shop.root / SHOP).read_text()
    shop.write(SHOP, text + "61,red\n62,blue,huge,no\n")
    night = ("nightly", "-p", "shop", "--slice", THIRD_DAY)
    failed = shop.run(*night)
    assert failed.code == 5
    [words] = commands_in(failed.json["hint"])
    shown = shop.run(*words)
    assert shown.code == 0, shown.stderr
    told = [one for reason in shown.json["reasons"] for one in reason["examples"]]
    broken = {one["source_line"] for one in told}
    assert broken == {62, 63}
    lines = (shop.root / SHOP).read_text().splitlines(keepends=True)
    shop.write(SHOP, "".join(line for n, line in enumerate(lines, 1) if n not in broken))
    again = shop.run(*night)
    assert (again.code, again.json["scored"]) == (0, [THIRD_DAY]), again.stderr


@pytest.mark.timeout(900)
def test_mistake_10_a_file_that_changed_after_it_had_landed(shop: Project) -> None:
    [landed] = [
        one["slice"]
        for one in shop.run("status", "-p", "shop").json["slices"]
        if one["slice"] < DAY_AFTER
    ]
    shop.edit(SHOP, "\n7,blue,49.5,yes", "\n7,blue,0.5,no")
    landing = ("extract", "-p", "shop", "--slice", landed)
    failed = shop.run(*landing)
    assert failed.code == 3
    setting = re.search(r"--set source\.on_changed=replace", failed.json["hint"])
    assert setting is not None
    again = shop.run(*landing, *shlex.split(setting[0]))
    assert (again.code, again.json["rows_landed"]) == (0, 60), again.stderr
    assert shop.run("score", "-p", "shop", "--slice", landed).code == 0
    found = shop.run("lookup", "-p", "shop", "--key", "order_id=7", "--as-of", landed)
    assert found.json["prediction"]["label"] == "no"


@pytest.mark.timeout(900)
def test_mistakes_11_and_12_a_model_of_older_features_and_other_columns_of_predictions(
    tmp_path: Path,
) -> None:
    trail = Trail(_init_shop(tmp_path))
    score = ("score", "-p", "shop")
    trail.follow(*score)
    assert trail.commands == [("score", 3), ("train", 0), ("score", 0)]

    trail.project.edit(PIPELINE, "one_hot: {columns: color}", "ordinal: {columns: color}")
    trail.commands.clear()
    trail.follow(*score)
    assert trail.commands == [("score", 7), ("train", 0), ("score", 0)]

    trail.project.edit(PIPELINE, ', positive: ["yes"]', "")
    assert trail.project.run("train", "-p", "shop").code == 0
    trail.commands.clear()
    trail.follow(*score)
    assert trail.commands == [("score", 3), ("score", 0), ("score", 0)]
    found = trail.project.run("lookup", "-p", "shop", "--key", "order_id=7")
    assert set(dict(found.json["prediction"]["scores"])) == {"yes", "no"}


@pytest.mark.timeout(900)
def test_mistake_13_a_key_that_repeats(tmp_path: Path) -> None:
    project = _init_shop(tmp_path)
    project.edit(PIPELINE, "key: order_id", "key: color")
    failed = project.run("train", "-p", "shop")
    assert failed.code == 3
    edit = re.search(r"key: \[source_file, source_line\]", failed.json["hint"])
    assert edit is not None
    project.edit(PIPELINE, "key: color", edit[0])
    again = project.run("train", "-p", "shop")
    assert (again.code, again.json["landed_first"]["rows_landed"]) == (0, 60), again.stderr
