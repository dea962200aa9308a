"""Bad input: one clear message, the exit code of the contract, the JSON line with `errors`, nothing
lost or half-written.
"""

from __future__ import annotations

from pathlib import Path

from e2e.commands import (
    DAY,
    SMALL_PIPELINE,
    SMALL_ROWS,
    Project,
    extract_small,
    quarantined,
    tables,
)


def test_five_configuration_errors_are_reported_at_once_before_any_jvm(small: Project) -> None:
    text = SMALL_PIPELINE.replace("  slice: ingest_date", "  slize: ingest_date")
    text = text.replace("size: double", "size: dubble").replace(
        "standardize: {columns: size}", "standardise: {columns: size}"
    )
    text = text.replace("one_hot: {columns: color}", "one_hot: {columns: colour}").replace(
        "epochs: 2", "epochs: many"
    )
    small.write("conf/pipelines/small.yaml", text)
    result = small.run("extract", "-p", "small", "--slice", DAY, JAVA_HOME="/nowhere")
    assert result.code == 2
    errors = "\n".join(result.json["errors"])
    for expected in ("slize", "did you mean", "dubble", "standardise", "epochs"):
        assert expected in errors, errors
    assert "conf/pipelines/small.yaml:5:" in errors
    assert len(result.json["errors"]) >= 5


def test_an_unknown_field_asks_whether_another_was_meant(small: Project) -> None:
    small.edit("conf/pipelines/small.yaml", "sink:", "sinc:")
    result = extract_small(small)
    assert result.code == 2
    assert any(
        "sinc" in error and "did you mean" in error and "sink" in error
        for error in result.json["errors"]
    )


def test_an_unset_variable(small: Project) -> None:
    small.edit("conf/pipelines/small.yaml", "path: in/*.csv", "path: ${NO_SUCH_FOLDER}/*.csv")
    result = extract_small(small)
    assert result.code == 2
    assert any(
        "NO_SUCH_FOLDER" in error and "small.yaml:4" in error for error in result.json["errors"]
    )


def test_a_missing_input_file(small: Project) -> None:
    (small.root / "in/a.csv").unlink()
    result = extract_small(small)
    assert result.code == 3
    assert "in/*.csv" in result.json["errors"][0]
    assert tables(small) <= {"runs"}


def test_an_empty_input_file_lands_an_empty_slice_which_can_be_scored(small: Project) -> None:
    assert extract_small(small).code == 0
    assert small.run("train", "-p", "small").code == 0
    small.write("in/a.csv", "")
    landed = extract_small(small, slice_="2026-11-22")
    assert (landed.code, landed.json["rows_in"]) == (0, 0), landed.stderr
    assert landed.json["warnings"]
    empty = small.run("score", "-p", "small", "--slice", "2026-11-22")
    assert (empty.code, empty.json["rows_in"]) == (0, 0), empty.stderr
    never = small.run("score", "-p", "small", "--slice", "2026-11-23")
    assert never.code == 3
    assert "2026-11-23" in never.json["errors"][0]


def test_rows_that_do_not_parse_are_kept_with_their_place_and_reason(small: Project) -> None:
    lines = SMALL_ROWS.encode().splitlines()
    lines[3] = b"2,red"
    lines[5] = b"4,red,4.5,no,too,many"
    lines[7] = b"six,red,6.5,no"
    lines[9] = b"8,r\xffd,8.5,no"
    small.write("in/a.csv", b"\n".join(lines) + b"\n")
    result = extract_small(small)
    assert result.code == 0, result.stderr
    assert (
        result.json["rows_in"],
        result.json["rows_landed"],
        result.json["rows_quarantined"],
    ) == (20, 16, 4)
    found = {row["source_line"]: row for row in quarantined(small)}
    assert set(found) == {4, 6, 8, 10}
    assert [found[line]["raw"] for line in (4, 6, 8, 10)] == [
        lines[3],
        lines[5],
        lines[7],
        lines[9],
    ]
    assert "six" in found[8]["message"] and "int" in found[8]["message"]
    assert all(row["source_file"] == "a.csv" and row["published"] for row in found.values())


def test_too_many_bad_rows_land_nothing(small: Project) -> None:
    small.write("in/a.csv", SMALL_ROWS + "x,red,1,no\n" * 30)
    result = extract_small(small)
    assert result.code == 5
    assert "max_quarantine_rate" in result.json["errors"][0]
    assert "landed/small" not in tables(small)
    assert {row["published"] for row in quarantined(small)} == {False}
    assert len(quarantined(small)) == 30


def test_a_log_line_that_does_not_parse_names_its_place(project: Project) -> None:
    project.write(
        "logs/x.log",
        'a - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-"\nnot a log line\n',
    )
    project.edit(
        "conf/pipelines/bot_traffic.yaml", "${DATA_DIR:-examples/data}/logs/*.log", "logs/*.log"
    )
    result = project.run("extract", "-p", "bot_traffic")
    assert result.code == 5
    assert "x.log:2" in result.json["errors"][0]


def test_a_warehouse_that_can_never_be_written(small: Project) -> None:
    small.write("var/lake", "a file where the folder should be")
    result = extract_small(small)
    assert result.code == 2
    [problem] = result.json["errors"]
    assert "lake" in problem and "allowed: a place where a folder can be made" in problem


def test_a_slice_that_is_no_date_and_a_missing_one(small: Project) -> None:
    assert extract_small(small, slice_="../../etc").code == 2
    assert extract_small(small, slice_="2026-13-45").code == 2
    without = small.run("extract", "-p", "small")
    assert (without.code, "--slice" in without.json["errors"][0]) == (2, True)


def test_an_unknown_command_and_option_end_in_the_json_line(small: Project) -> None:
    for arguments in (
        ("scor",),
        ("score", "-p", "small", "--slize", DAY),
        ("score", "-p", "smal", "--slice", DAY),
    ):
        result = small.run(*arguments)
        assert (result.code, result.json["exit_code"]) == (2, 2)


def test_java_that_is_not_there_is_one_sentence(small: Project, tmp_path: Path) -> None:
    result = small.run(
        "extract", "-p", "small", "--slice", DAY, "--env", "session",
        JAVA_HOME=str(tmp_path / "no-java"),
    )  # fmt: skip
    assert result.code == 2
    assert len(result.json["errors"]) == 1
    assert "JAVA_HOME" in result.json["errors"][0]
    assert "landed/small" not in tables(small)
