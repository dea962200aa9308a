"""Sources in a bucket, with the real commands: what lands, what is new, what is said when something
is wrong.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from e2e.commands import (
    DAY,
    SMALL_PIPELINE,
    SMALL_ROWS,
    Project,
    Result,
    extract_small,
    new_project,
    quarantined,
    tables,
)
from s3.conftest import (
    ACCESS_KEY,
    FIRST_S,
    SECRET_KEY,
    Server,
    free_port,
    package,
    run,
    serving,
    use_store,
)

# The first command downloads what the others then have.
pytestmark = pytest.mark.timeout(FIRST_S + 60)


def small(project: Project, path: str) -> Project:
    project.write(
        "conf/pipelines/small.yaml", SMALL_PIPELINE.replace("path: in/*.csv", f"path: {path}")
    )
    return project


def extract(project: Project, *more: str, **environment: str) -> Result:
    return run(project, "extract", "-p", "small", "--slice", DAY, *more, **environment)


def landed(project: Project, pipeline: str = "small") -> list[dict[str, Any]]:
    from deltalake import DeltaTable

    return DeltaTable(str(project.lake / "landed" / pipeline)).to_pyarrow_table().to_pylist()


def counts(result: Result) -> tuple[int, int, int, int]:
    assert result.code == 0, result.stderr
    return tuple(
        result.json[name] for name in ("files_read", "rows_in", "rows_landed", "rows_quarantined")
    )  # type: ignore[return-value]


def spools(project: Project) -> list[Path]:
    return [path for path in (project.root / "var/staging").rglob("*") if path.is_file()]


def places_of(project: Project, text: str) -> list[Path]:
    """Files below var/ that hold a text."""
    files = [path for path in (project.root / "var").rglob("*") if path.is_file()]
    assert files
    return [path for path in files if text.encode() in path.read_bytes()]


def test_csv_lands_and_only_what_is_new_is_read_again(
    project: Project, server: Server, bucket: str
) -> None:
    lines = SMALL_ROWS.splitlines(keepends=True)
    server.put(f"{bucket}/in/a.csv", SMALL_ROWS)
    server.put(
        f"{bucket}/in/2026/b.csv.gz", gzip.compress("".join([*lines[:4], "x,red,1,no\n"]).encode())
    )
    server.put(f"{bucket}/in/odd name+ü[1].csv", "".join(lines[:2]))
    server.put(f"{bucket}/in/_SUCCESS", b"")
    server.put(f"{bucket}/in/.hidden.csv", SMALL_ROWS)
    small(project, f"s3a://{bucket}/in/**/*.csv*")
    results = [extract(project)]
    assert counts(results[-1]) == (3, 25, 24, 1)
    assert {row["source_file"] for row in landed(project)} == {
        "a.csv",
        "2026/b.csv.gz",
        "odd name+ü[1].csv",
    }
    assert sorted(
        row["source_line"] for row in landed(project) if row["source_file"] == "2026/b.csv.gz"
    ) == [2, 3, 4]
    [bad] = quarantined(project)
    assert (bad["source_file"], bad["source_line"], bad["raw"]) == (
        "2026/b.csv.gz",
        5,
        b"x,red,1,no",
    )
    results.append(extract(project))
    assert (results[-1].json["status"], *counts(results[-1])) == ("unchanged", 0, 0, 0, 0)
    server.put(f"{bucket}/in/c.csv", "".join(lines[:3]))
    results.append(extract(project))
    assert counts(results[-1]) == (1, 2, 2, 0)
    server.put(f"{bucket}/in/a.csv", "".join([*lines, "21,red,1.5,no\n"]))
    results.append(extract(project))
    assert results[-1].code == 3
    assert (
        f"s3a://{bucket}/in/a.csv: it changed after it was landed" in results[-1].json["errors"][0]
    )
    assert len(landed(project)) == 26
    results.append(extract(project, "--set", "source.on_changed=append"))
    assert counts(results[-1]) == (1, 1, 1, 0)
    assert len(landed(project)) == 27
    server.put(f"{bucket}/in/a.csv", "".join(lines[:2]))
    results.append(extract(project, "--set", "source.on_changed=replace"))
    assert counts(results[-1]) == (1, 1, 1, 0)
    assert len(landed(project)) == 7
    assert spools(project) == []
    for secret in (SECRET_KEY, ACCESS_KEY):
        assert places_of(project, secret) == []
        assert not [result for result in results if secret in result.stdout + result.stderr]


def test_a_log_in_a_bucket_is_the_log_on_disk(
    project: Project, server: Server, bucket: str
) -> None:
    log = (project.root / "examples/data/logs/access.log").read_bytes()
    server.put(f"{bucket}/logs/access.log", log)
    result = run(
        project, "extract", "-p", "bot_traffic", "--set", f"source.path=s3a://{bucket}/logs"
    )
    assert counts(result) == (1, 2501, 2500, 1)
    [bad] = _quarantine(project, "bot_traffic")
    assert (bad["source_file"], bad["source_line"], bad["raw"]) == (
        "access.log",
        2226,
        log.splitlines()[2225],
    )


def _quarantine(project: Project, pipeline: str) -> list[dict[str, Any]]:
    from deltalake import DeltaTable

    return DeltaTable(str(project.lake / "quarantine" / pipeline)).to_pyarrow_table().to_pylist()


def test_a_damaged_object_is_named_where_it_is_and_lands_nothing(
    project: Project, server: Server, bucket: str
) -> None:
    server.put(f"{bucket}/in/good.csv", SMALL_ROWS)
    server.put(f"{bucket}/in/cut.csv.gz", gzip.compress(SMALL_ROWS.encode())[:60])
    result = extract(small(project, f"s3a://{bucket}/in/*"))
    assert result.code == 3
    assert result.json["errors"] == [
        f"s3a://{bucket}/in/cut.csv.gz is cut short: its gzip data has no end"
    ]
    assert tables(project) <= {"runs"}
    assert spools(project) == []


def test_a_missing_bucket_and_a_missing_object(
    project: Project, server: Server, bucket: str
) -> None:
    server.put(f"{bucket}/in/a.csv", SMALL_ROWS)
    result = extract(small(project, "s3a://no-such-bucket/in/*.csv"))
    assert (result.code, "no-such-bucket" in result.json["errors"][0]) == (3, True), result.stderr
    result = extract(small(project, f"s3a://{bucket}/in/a.cvs"))
    assert result.code == 3, result.stderr
    assert f"looked for 'a.cvs' in s3a://{bucket}/in, which holds a.csv" in result.json["errors"][0]
    assert result.json["hint"] == "did you mean 'a.csv'?"


def test_an_endpoint_where_nobody_listens_ends_the_run(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    use_store(project, f"http://127.0.0.1:{free_port()}")
    result = extract(small(project, "s3a://bucket/in/*.csv"))
    assert result.code == 8, result.stderr
    assert "Connection refused" in result.json["errors"][0]
    assert SECRET_KEY not in result.stdout + result.stderr


def test_wrong_credentials_and_none(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    # From the first request on, this server wants the signature of somebody it knows, and it knows
    # nobody.
    with serving(INITIAL_NO_AUTH_ACTION_COUNT="0") as strict:
        use_store(project, strict.url)
        small(project, "s3a://bucket/in/*.csv")
        wrong, none = (
            extract(project),
            extract(project, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY=""),
        )
    assert (wrong.code, none.code) == (8, 8), wrong.stderr + none.stderr
    assert "403" in wrong.json["errors"][0] and "refused access" in wrong.json["hint"]
    assert "no credentials were found" in none.json["hint"]
    for secret in (SECRET_KEY, ACCESS_KEY):
        assert secret not in wrong.stdout + wrong.stderr
        assert places_of(project, secret) == []


def test_without_its_package_a_scheme_names_it(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    result = extract_small(small(project, "s3a://bucket/in/*.csv"))
    assert result.code == 2, result.stderr
    assert f"spark.jars.packages: {package()}" in result.json["hint"]


def test_a_file_uri_is_a_local_path(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    project.write("in/a.csv", SMALL_ROWS)
    assert counts(extract_small(small(project, f"file://{tmp_path}/in/*.csv"))) == (1, 20, 20, 0)
