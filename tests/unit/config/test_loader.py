"""Where pipelines, environments and state are found, and what a loaded pipeline holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from batchinfer.config.loader import find_project, load_environment, load_pipeline, load_state
from batchinfer.errors import ConfigError

from .conftest import GOOD

# The file of the contract, whole.
CONTRACT = """\
name: income
description: Probability that a person earns over 50k, scored nightly from the census extract.
source:
  kind: csv                     # csv, json, text_log, parquet, delta, jdbc, http, kafka, images, texts
  path: ${DATA_DIR:-examples/data}/adult/*.csv
  options: {header: false, null_values: ["?"]}
  schema: {age: int, workclass: string, fnlwgt: int, education: string, education_num: int, marital_status: string,
           occupation: string, relationship: string, race: string, sex: string, capital_gain: int, capital_loss: int,
           hours_per_week: int, native_country: string, income: string}
  key: [source_file, source_line]   # or real columns
  slice: ingest_date                # = --slice of `extract`; or a column; or {column: ts, unit: day} (UTC; also hour, month)
features:                           # in this order; see the table of transforms
  - impute: {columns: [workclass, occupation, native_country], strategy: most_frequent}
  - clip: {columns: [capital_gain, capital_loss], upper_quantile: 0.99}
  - standardize: {columns: [age, education_num, hours_per_week, capital_gain, capital_loss]}
  - one_hot: {columns: [workclass, marital_status, occupation, relationship, race, sex, native_country]}
  - cross: {columns: [education, occupation], buckets: 128}
train:
  source: {path: "${DATA_DIR:-examples/data}/adult/adult_train.csv"}   # optional overrides of `source` for labelled data
  target: {column: income, positive: [">50K", ">50K."]}   # or positive_pattern: regex; neither = regression
  model: mlp_classifier             # mlp_regressor, …, or `python: package.module:Class`
  params: {hidden: [128, 64], epochs: 5, seed: 7}
model:
  uri: models:/income@champion      # or models:/income/3
  device: auto                      # auto, cpu, cuda
  road: auto                        # auto, direct, arrow, pandas
  batch: {rows: auto, max_bytes: 64MiB, timeout_s: 120}
  trust: none                       # none, pickle
  variants:                         # optional; the model above is `champion`
    - {name: challenger, uri: "models:/income/4", share: 0.1}     # A/B: a stable hash of the key decides which variant is served
    - {name: shadow, uri: "models:/income/5", shadow: true}       # scored, never served
checks:
  input: conf/expectations/income_input.yaml
  predictions: conf/expectations/income_predictions.yaml
  max_quarantine_rate: 0.01         # per command; default 0.01
sink: {table: predictions/income}   # under the lake, or a full URI, or catalog.schema.table
load: [{kind: redis, url_env: REDIS_URL, ttl_s: 604800}]
schedule: "15 2 * * *"              # read by the deploy files; the engine itself never sleeps
"""  # noqa: E501 - as the contract has it


@pytest.fixture
def contract(project: Path) -> Path:
    (project / "conf" / "expectations").mkdir()
    for name in ("income_input.yaml", "income_predictions.yaml"):
        (project / "conf" / "expectations" / name).write_text("[]\n")
    file = project / "conf" / "pipelines" / "income.yaml"
    file.write_text(CONTRACT)
    return file


def test_the_file_of_the_contract_loads_but_for_its_variants(contract: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_pipeline("income")
    assert len(caught.value.problems) == 1
    assert (
        "conf/pipelines/income.yaml:29:3 (model.variants): got a list of 2; this version scores "
        "the champion only" in caught.value.problems[0]
    )
    pipeline = load_pipeline("income", ["model.variants=[]"]).pipeline
    assert pipeline.source.path == ("examples/data/adult/*.csv",)
    assert pipeline.source.slice == "ingest_date"
    assert pipeline.model.batch.max_bytes == 64 * 2**20
    assert pipeline.model.batch.rows == "auto"
    assert pipeline.train is not None
    assert pipeline.train.target.positive == (">50K", ">50K.")
    assert pipeline.train.params == {"hidden": [128, 64], "epochs": 5, "seed": 7}
    assert [next(iter(step)) for step in pipeline.features] == [
        "impute",
        "clip",
        "standardize",
        "one_hot",
        "cross",
    ]
    assert pipeline.load[0].ttl_s == 604800


def test_expectation_files_have_to_be_there(contract: Path) -> None:
    (contract.parents[1] / "expectations" / "income_input.yaml").unlink()
    with pytest.raises(
        ConfigError,
        match=r"\(checks.input\): no such file: got 'conf/expectations/income_input.yaml'",
    ):
        load_pipeline("income", ["model.variants=[]"])


def test_a_loaded_pipeline_knows_its_places(project: Path) -> None:
    (project / "below").mkdir()
    loaded = load_pipeline("good")
    assert (loaded.root, loaded.home, loaded.file) == (
        project,
        project / "var",
        project / "conf" / "pipelines" / "good.yaml",
    )
    assert loaded.environment.lake == str(project / "var" / "lake")
    assert loaded.environment.registry == f"sqlite:///{project}/var/mlflow.db"
    assert loaded.places.locate(("features", 0, "standardize")) == "conf/pipelines/good.yaml:10:5"
    assert (
        loaded.places.locate(("features", 0, "standardize", "nothing"))
        == "conf/pipelines/good.yaml:10:5"
    )


def test_names_are_found_from_folders_below_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = project / "notebooks" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    loaded = load_pipeline("good")
    assert loaded.root == project
    assert loaded.places.locate(()) == f"{project}/conf/pipelines/good.yaml:1:1", (
        "outside the working folder, places are absolute"
    )


def test_without_a_project_names_are_those_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load_pipeline("income")
    checkout = Path(__file__).parents[3]
    assert loaded.file == checkout / "conf" / "pipelines" / "income.yaml"
    assert loaded.home == checkout / "var", "beside its file"


def test_a_file_that_stands_alone(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "x.yaml").write_text(GOOD)
    loaded = load_pipeline("../alone/x.yaml")
    assert (loaded.root, loaded.home) == (alone, alone / "var"), "not that of the working folder"
    monkeypatch.chdir(alone)
    assert (load_pipeline("x.yaml").root, load_pipeline("x.yaml").home) == (alone, alone / "var")


def test_the_state_folder_can_be_moved(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHINFER_HOME", "elsewhere")
    assert load_pipeline("good").home == project / "elsewhere"
    environment, home = load_state("local")
    assert (environment.reports, home) == (
        str(project / "elsewhere" / "reports"),
        project / "elsewhere",
    )
    monkeypatch.setenv("BATCHINFER_HOME", f"a/{'ü' * 128}/b")
    with pytest.raises(ConfigError, match=r"BATCHINFER_HOME: got 'a/ü.*; allowed: folders whose"):
        load_state()
    monkeypatch.setenv("BATCHINFER_HOME", "")
    assert load_pipeline("good").home == project / "var"


@pytest.mark.parametrize(
    ("ref", "sentence"),
    [
        (
            "goood",
            "pipeline: got 'goood' (did you mean good?); allowed: a pipeline of conf/pipelines "
            "(good), or the path",
        ),
        ("", "pipeline: got ''; allowed"),
        (
            "conf/pipelines/god.yaml",
            "pipeline: no such file: got 'conf/pipelines/god.yaml' (did you mean good.yaml?), "
            "looked for at /",
        ),
        ("nowhere/x.yml", "pipeline: no such file"),
        ("a\0b/c.yaml", "pipeline: no such file"),
    ],
)
def test_pipelines_that_are_not_there(project: Path, ref: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_pipeline(ref)
    assert caught.value.problems[0].startswith(sentence)


def test_bytes_that_are_not_utf8(project: Path) -> None:
    file = project / "conf" / "pipelines" / "latin.yaml"
    file.write_bytes("name: latin\ndescription: caf\xe9\n".encode("latin-1"))
    with pytest.raises(
        ConfigError, match=r"latin.yaml:2:17: got the byte 0xe9, which is not UTF-8"
    ):
        load_pipeline("latin")
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    loaded = load_pipeline("latin")
    assert (loaded.pipeline.name, loaded.places.locate(("name",))) == (
        "good",
        "conf/pipelines/latin.yaml:1:1",
    )


def test_projects_are_found_upwards(project: Path, tmp_path: Path) -> None:
    assert find_project(project / "conf" / "pipelines") == project
    assert find_project(tmp_path) == Path(__file__).parents[3], "else the checkout"


def environments(project: Path, **files: str) -> None:
    for folder in ("base", "environments"):
        (project / "conf" / folder).mkdir(exist_ok=True)
    for name, text in files.items():
        file = (
            project
            / "conf"
            / ("base/environment.yaml" if name == "base" else f"environments/{name}.yaml")
        )
        file.write_text(text)


def test_an_environment_is_laid_over_the_base_entry_by_entry(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUCKET", "s3a://bucket")
    environments(
        project,
        base="lake: ${UNSET_BUT_REPLACED}\nspark: {master: a, conf: {x: 1, y: true}, java_options: "
        "[-a, -b]}\n",
        far="lake: ${BUCKET}/lake\nregistry: sqlite:////shared/m.db\nspark: {conf: {y: text}, "
        "java_options: [-c]}\n",
    )
    environment = load_environment("far", project)
    assert environment.lake == "s3a://bucket/lake"
    spark = environment.spark
    assert (spark.master, spark.java_options) == ("a", ("-c",))
    assert (spark.conf["x"], spark.conf["y"]) == (1, "text")
    resolved = load_pipeline("good", environment_name="far").environment
    assert (resolved.lake, resolved.registry) == ("s3a://bucket/lake", "sqlite:////shared/m.db")


def test_a_file_of_a_name_that_comes_with_the_package_is_laid_over_that_one(project: Path) -> None:
    packaged = load_environment("local", project)
    environments(project, base="reports: pages\n", local="spark: {conf: {x: 1}}\n")
    own = load_environment("local", project)
    assert own.reports == "pages" and own.lake == packaged.lake
    assert own.spark.master == packaged.spark.master is not None
    assert own.spark.conf == {**packaged.spark.conf, "x": 1}


def test_an_environment_file_of_comments_changes_nothing(project: Path) -> None:
    environments(project, base="lake: there\n", far="# nothing yet\n")
    assert load_environment("far", project).lake == "there"


def test_values_at_the_names_of_secrets_are_not_shown(project: Path) -> None:
    environments(
        project,
        base="spark: {conf: {fs.s3a.secret.key: [canary], fs.s3a.access.key: {canary: 1}}}\n",
        far="",
    )
    with pytest.raises(ConfigError) as caught:
        load_environment("far", project)
    assert len(caught.value.problems) == 2
    assert "got a value that is not shown; allowed: text" in caught.value.problems[0]
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("place", ["lake", "artifacts", "staging", "reports"])
def test_places_with_credentials_are_refused_and_not_shown(project: Path, place: str) -> None:
    environments(project, base=f"{place}: s3a://AKIA:canary@bucket/x\n", far="")
    with pytest.raises(ConfigError) as caught:
        load_environment("far", project)
    assert (
        "a text that is not shown; allowed: a place without user and password"
        in caught.value.problems[0]
    )
    assert "canary" not in str(caught.value)


def test_problems_of_environment_files_stand_beside_those_of_the_pipeline(project: Path) -> None:
    environments(
        project,
        base="lakes: x\n",
        far="# nothing but\nspark: {conf: {a: [1]}, java_options: 3}\nreports: ${NOT_SET_HERE}\n",
    )
    (project / "conf" / "pipelines" / "bad.yaml").write_text(GOOD.replace("name: good", "name: 1"))
    with pytest.raises(ConfigError) as caught:
        load_pipeline("bad", environment_name="far")
    assert list(caught.value.problems) == [
        "conf/pipelines/bad.yaml:1:1 (name): got 1; allowed: text (as text it is written in "
        'quotes: "1")',
        "conf/base/environment.yaml:1:1 (lakes): unknown field lakes (did you mean lake?); "
        "allowed: lake, registry, artifacts, staging, reports, spark, observability",
        "conf/environments/far.yaml:2:16 (spark.conf.a): got a list of 1; allowed: text, a number, "
        "true or false",
        "conf/environments/far.yaml:2:25 (spark.java_options): got 3; allowed: a list",
        "conf/environments/far.yaml:3:1 (reports): variable NOT_SET_HERE is not set; "
        "allowed: set it, or give a default with ${NOT_SET_HERE:-…}",
    ]


@pytest.mark.parametrize(
    ("name", "hint"), [("lcal", " (did you mean local?)"), ("../base/environment", "")]
)
def test_unknown_environments(project: Path, name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_state(name)
    assert f"environment: got '{name}'{hint}; allowed: " in caught.value.problems[0]
    assert "local" in caught.value.problems[0]


def test_the_environments_of_the_checkout_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = Path(__file__).parents[3]
    for name in ("LAKE", "REGISTRY", "STAGING", "REPORTS"):
        monkeypatch.setenv(f"BATCHINFER_{name}", f"s3a://bucket/{name.lower()}")
    assert load_environment("local", checkout).lake == "lake"
    cluster = load_environment("cluster", checkout)
    assert (cluster.lake, cluster.spark.master) == ("s3a://bucket/lake", None)
    assert "spark.redaction.regex" in cluster.spark.conf


def test_loading_needs_no_heavy_package(project: Path) -> None:
    program = (
        "import json, sys\n"
        "from batchinfer.config.loader import load_pipeline\n"
        "load_pipeline('good')\n"
        "names = ('pyspark', 'torch', 'mlflow', 'pandas', 'numpy', 'pyarrow')\n"
        "print(json.dumps([name for name in names if name in sys.modules]))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(run.stdout) == []
