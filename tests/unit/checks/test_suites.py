"""Expectation files: what is read, and everything that is wrong told at once, with its place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.checks.known_expectations import expectation_arguments, expectation_names
from batchinfer.checks.suites import check_suite, load_suite
from batchinfer.errors import ConfigError

CONF = Path(__file__).parents[3] / "conf" / "expectations"
PREDICTIONS = [
    "source_file",
    "source_line",
    "slice",
    "score",
    "label",
    "variant",
    "served",
    "model_name",
    "model_version",
    "bundle_digest",
    "input_fingerprint",
]


def write(folder: Path, text: str) -> Path:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_suite(path)
    return caught.value.problems


def test_a_suite_keeps_order_arguments_and_places(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "# scores\n- expect_column_values_to_be_between: {column: score, min_value: 0, max_value: "
        "1, mostly: 0.5}\n"
        "- expect_table_columns_to_match_set:\n    column_set: [a, b]\n",
    )
    first, second = load_suite(path).expectations
    assert first.name == "expect_column_values_to_be_between"
    assert first.arguments == {"column": "score", "min_value": 0, "max_value": 1, "mostly": 0.5}
    assert first.place == f"{path}:2:3"
    assert second.arguments == {"column_set": ["a", "b"]}


def test_an_empty_list_is_a_suite_of_none(tmp_path: Path) -> None:
    assert load_suite(write(tmp_path, "[]")).expectations == ()


def test_all_problems_are_told_at_once_each_with_its_place(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "- expect_column_values_to_be_betwen: {column: score}\n"
        "- expect_column_values_to_be_between: {colum: score, min_value: 2, max_value: 1, mostly: "
        "3}\n"
        "- 5\n"
        "- {a: 1, b: 2}\n"
        "- expect_column_values_to_not_be_null: score\n"
        "- expect_column_values_to_not_be_null\n",
    )
    problems = problems_of(path)
    wanted = [
        ":1:3: unknown expectation 'expect_column_values_to_be_betwen' (did you mean "
        "'expect_column_values_to_be_between'?)",
        ":2:40: expect_column_values_to_be_between: unknown argument 'colum' (did you mean "
        "'column'?)",
        "mostly: got 3; allowed: a share from 0 to 1",
        ":2:3: expect_column_values_to_be_between: column must be given",
        "min_value 2 is above max_value 1",
        ":3:3: got '5'",
        ":4:3: got 2 keys in one item (a, b)",
        ":5:40: expect_column_values_to_not_be_null: got 'score'; allowed: a mapping",
        ":6:3: expect_column_values_to_not_be_null: column must be given",
    ]
    assert len(problems) == len(wanted)
    for problem, part in zip(problems, wanted, strict=True):
        assert problem.startswith(str(path)) and part in problem


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "got an empty file; allowed: a list"),
        ("a: 1", ":1:1: got a mapping; allowed: a list"),
        ("- [a", ":1:5: not YAML"),
        ("- a\n- \tb: {", "not YAML"),
        ("--- []\n--- []", "not YAML"),
        (
            "- expect_column_values_to_not_be_null: {column: a, column: b}",
            "argument 'column' stands twice",
        ),
        (
            "- expect_column_values_to_not_be_null: {column: ''}",
            "column: got ''; allowed: the name of a column",
        ),
        (
            "- expect_column_values_to_not_be_null: {column: !!python/name:os.system x}",
            "not a value",
        ),
        (
            "- expect_column_values_to_be_in_set: {column: a, value_set: b}",
            "value_set: got 'b'; allowed: a list",
        ),
        (
            "- expect_column_values_to_be_between: {column: a}",
            "min_value or max_value, or both, must be given",
        ),
        (
            "- expect_column_values_to_be_between: {column: a, max_value: .nan}",
            "max_value: got nan; allowed: a finite value",
        ),
        (
            "- expect_column_values_to_not_be_null: {column: a, result_format: COMPLETE}",
            "unknown argument 'result_format'",
        ),
        (
            "- expect_compound_columns_to_be_unique: {column_list: a}",
            "column_list: got 'a'; allowed: a list of column names",
        ),
    ],
)
def test_what_is_no_suite_is_told(tmp_path: Path, text: str, part: str) -> None:
    problems = problems_of(write(tmp_path, text))
    assert len(problems) == 1
    assert part in problems[0]


def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    assert "could not be read" in problems_of(tmp_path / "absent.yaml")[0]
    assert "could not be read" in problems_of(tmp_path)[0]
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"- a\xff")
    assert "byte 3 is not UTF-8" in problems_of(binary)[0]


@given(text=st.text(max_size=60) | st.text(alphabet="-:[]{}&*!|>'\"%@`#?, \nabc0", max_size=60))
def test_any_text_gives_a_suite_or_a_configuration_error(tmp_path_factory: Any, text: str) -> None:
    path = write(tmp_path_factory.getbasetemp(), text.encode("utf-8", "ignore").decode())
    try:
        suite = load_suite(path)
    except ConfigError as error:
        assert all(problem.startswith(str(path)) for problem in error.problems)
    else:
        assert all(item.name in expectation_names() for item in suite.expectations)


def test_columns_are_held_against_those_that_are_known(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "- expect_column_values_to_not_be_null: {column: scor}\n"
        "- expect_column_values_to_not_be_null: {column: scores.automated}\n"
        "- expect_column_pair_values_to_be_equal: {column_A: score, column_B: nowhere}\n"
        "- expect_compound_columns_to_be_unique: {column_list: [score, scores, gone]}\n"
        "- expect_column_to_exist: {column: later}\n"
        "- expect_table_columns_to_match_set: {column_set: [other]}\n",
    )
    problems = check_suite(load_suite(path), ["score", "scores"])
    assert len(problems) == 3
    assert (
        problems[0].startswith(f"{path}:1:3: ")
        and "names column 'scor', which is not there (did you mean 'score'?)" in problems[0]
    )
    assert problems[0].endswith("allowed: score, scores")
    assert "'nowhere'" in problems[1] and "'gone'" in problems[2]


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_suites_fit_their_pipelines(path: Path) -> None:
    suite = load_suite(path)
    assert suite.expectations
    assert check_suite(suite, _columns_of(path.stem)) == []


def _columns_of(name: str) -> list[str]:
    """Columns that the rows judged by a shipped suite have, by what its pipeline file says."""
    pipeline, _, judged = name.rpartition("_")
    document = yaml.safe_load((CONF.parent / "pipelines" / f"{pipeline}.yaml").read_text())
    if judged == "input":
        return [*document["source"]["schema"], "source_file", "source_line", "slice"]
    outputs = (
        ["prediction"] if document["train"]["model"] == "mlp_regressor" else ["score", "label"]
    )
    key = document["source"]["key"]
    return [
        *outputs,
        *([key] if isinstance(key, str) else key),
        *(column for column in PREDICTIONS if column not in ("score", "label")),
    ]


def test_shipped_suites_do_not_count_rows() -> None:
    names = [item.name for path in CONF.glob("*.yaml") for item in load_suite(path).expectations]
    assert len(names) > 20
    assert not [name for name in names if "row_count" in name]


def test_names_and_arguments_are_known_without_the_library() -> None:
    """In a process of its own, because other tests of this one may have imported the library."""
    code = (
        "import sys; from pathlib import Path; from batchinfer.checks.suites import load_suite;"
        f"load_suite(Path({str(CONF / 'income_input.yaml')!r}));"
        "print(sorted({'great_expectations', 'pyspark', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_catalogue_tells_what_must_be_given() -> None:
    between = expectation_arguments("expect_column_values_to_be_between")
    assert between.required == {"column"}
    assert {"column", "min_value", "max_value", "mostly"} <= between.allowed
    assert expectation_arguments("expect_column_value_lengths_to_equal").required == {
        "column",
        "value",
    }
    with pytest.raises(KeyError):
        expectation_arguments("expect_miracles")
