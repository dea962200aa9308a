"""What `extract` lands: new and changed files, keys, slices and lines, on executors."""

from __future__ import annotations

import pytest
from spark.projects import DAY, SmallProject, csv_of, rows_of

from batchinfer.errors import (
    InputError,
)


def test_duplicate_keys_are_refused_with_examples(small: SmallProject) -> None:
    small.write("in/b.csv", csv_of(range(3)))
    with pytest.raises(InputError, match="repeat") as caught:
        small.extract()
    assert '"id": 0' in str(caught.value)
    assert not (small.root / "var/lake/landed/small/_delta_log").exists()
    assert small.extract(DAY, "source.unique=assumed").rows_landed == 43
    small.train()
    with pytest.raises(InputError, match="repeat"):
        small.score()


def test_null_keys_go_to_quarantine(small: SmallProject) -> None:
    small.write("in/a.csv", csv_of(range(5)) + ",red,1.0,no\n")
    report = small.extract()
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (6, 5, 1)
    [row] = small.table("quarantine").to_pylist()
    assert (row["reason"], row["source_line"]) == ("null_key", 7)


def test_a_changed_file_fails_or_is_replaced_or_appended(small: SmallProject) -> None:
    small.extract()
    small.write("in/a.csv", csv_of(range(10)))
    with pytest.raises(InputError, match=r"a\.csv: it changed after it was landed"):
        small.extract()
    replaced = small.extract(DAY, "source.on_changed=replace")
    assert replaced.rows_landed == 10
    assert sorted(small.table("landed").column("id").to_pylist()) == list(range(10))
    small.write("in/a.csv", csv_of(range(10)) + "not a row\n" + rows_of(range(10, 15)))
    grown = small.extract(DAY, "source.on_changed=append")
    assert (grown.rows_in, grown.rows_landed, grown.rows_quarantined) == (6, 5, 1)
    assert sorted(small.table("landed").column("id").to_pylist()) == list(range(15))
    again = small.extract(DAY, "source.on_changed=append")
    assert again.status == "unchanged"


def test_a_key_that_landed_before_is_a_duplicate_too(small: SmallProject) -> None:
    small.extract()
    small.write("in/b.csv", csv_of(range(39, 45)))
    with pytest.raises(InputError, match=r'slice 2026-11-21: \{"id": 39\} 2 times'):
        small.extract()
    assert small.table("landed").num_rows == 40


def test_slices_of_a_column_that_cannot_be_named_are_quarantined(small: SmallProject) -> None:
    small.edit("slice: ingest_date", "slice: color")
    small.write("in/a.csv", csv_of(range(9)) + "100,../etc,1.0,no\n101,a b,1.0,no\n")
    report = small.extract(None)
    assert report.slices == ["a b", "blue", "green", "red"]
    [row] = small.table("quarantine").to_pylist()
    assert (row["reason"], row["key"]) == ("slice_name", '{"id": 100}')


def test_large_files_are_cut_into_ranges_with_exact_lines(
    small: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batchinfer.sources import readers

    text = "id,color,size,big\n" + "".join(
        rows_of(range(n, n + 1)) if n % 500 else "bad line\n" for n in range(1, 20_000)
    )
    small.write("in/a.csv", text)
    plan = readers.plan_text_splits
    monkeypatch.setattr(
        readers,
        "plan_text_splits",
        lambda *args, **kwargs: plan(*args, **(kwargs | {"target_bytes": 50_000})),
    )
    report = small.extract()
    assert (report.rows_in, report.rows_quarantined) == (19_999, 39)
    lines = text.splitlines()
    for row in small.table("landed").to_pylist()[::997]:
        assert lines[row["source_line"] - 1].startswith(f"{row['id']},")
    assert {row["source_line"] for row in small.table("quarantine").to_pylist()} == {
        n + 1 for n in range(500, 20_000, 500)
    }


def test_a_file_that_was_only_touched_is_the_same_file(small: SmallProject) -> None:
    import os

    small.extract()
    os.utime(small.root / "in/a.csv", (1, 1))
    assert small.extract().status == "unchanged"
