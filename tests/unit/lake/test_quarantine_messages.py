"""Records keep what they hold; what is said of them repeats no secret."""

from __future__ import annotations

from pathlib import Path

from deltalake import DeltaTable

from batchinfer.contracts import BadRecord
from batchinfer.credentials import keep_secrets
from batchinfer.lake.quarantine import commit_extract_quarantine, write_quarantine

TOKEN = "canary-0123456789abcdef"


def bad(line: int, value: str) -> BadRecord:
    return BadRecord(
        source_file="page1",
        source_line=line,
        slice="2026-11-21",
        reason="bad_value",
        message=f"id: got {value!r}; allowed: int",
        raw=value.encode(),
    )


def test_the_message_is_without_the_secret_and_the_record_has_it(tmp_path: Path) -> None:
    table = str(tmp_path / "quarantine")
    staged = write_quarantine(
        table,
        [bad(1, TOKEN), bad(2, "x")],
        pipeline="p",
        stage="extract",
        run_id="r",
        published=True,
        slice=None,
    )
    keep_secrets([TOKEN])
    commit_extract_quarantine(
        table, staged, scope="s", slice=None, published=True, files={"page1": 1}
    )
    rows = DeltaTable(table).to_pyarrow_table().sort_by("source_line").to_pylist()
    assert [row["message"] for row in rows] == [
        "id: got '***'; allowed: int",
        "id: got 'x'; allowed: int",
    ]
    assert [row["raw"] for row in rows] == [TOKEN.encode(), b"x"]
    files = list((tmp_path / "quarantine").rglob("*.parquet"))
    assert len(files) == 1, "the copy with the secret is gone"
