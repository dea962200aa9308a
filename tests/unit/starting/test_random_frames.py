"""Whatever a CSV file holds: what `init` writes loads, and each record lands as it is declared, or
goes to quarantine for a reason that the file's comments name.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import batchinfer
from batchinfer.config.schema import schema_fields
from batchinfer.errors import InputError
from batchinfer.pipeline.definition.context import Context
from batchinfer.sources.listing import list_files
from batchinfer.sources.readers import plan_source_splits, read_splits

WORDS = ["red", "blue", 'with "quotes"', "a, b", "x;y", "Ünï", "o'clock", "${HOME}", "# no", "y"]
CELLS = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.floats(allow_nan=True, allow_infinity=True, width=32).map(repr),
    st.sampled_from(["", "NA", "?", "-", "007", "true", "False", "2024-02-29", "31/12/2024"]),
    st.sampled_from(["2024-02-29 10:11:12", "01/02/2024", "1,5", "0x1F", "1_000", *WORDS]),
    st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=8),
)
LETTERS = st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp"))
NAMES = st.one_of(
    st.sampled_from(["id", "a b", "slice", "Target", "y", "größe", "x$y"]),
    st.text(LETTERS, min_size=1, max_size=6),
)


@st.composite
def files(draw: st.DrawFn) -> str:
    """Columns that are mostly of one sort each, and lines that are no records now and then."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique_by=str.lower))
    rows = draw(st.integers(1, 12))
    columns = []
    for _ in names:
        pool = draw(st.lists(CELLS, min_size=1, max_size=3))
        columns.append(draw(st.lists(st.sampled_from(pool), min_size=rows, max_size=rows)))
    out = io.StringIO()
    writer = csv.writer(
        out,
        delimiter=draw(st.sampled_from(",;\t|")),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
    )
    writer.writerows([names, *zip(*columns, strict=True)])
    return out.getvalue() + draw(st.sampled_from(["", "", "odd,odd;odd\todd|odd,\n", '"open\n']))


@given(files())
def test_what_is_written_loads_and_all_records_are_accounted_for(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "data.csv").write_bytes(text.encode())
        try:
            report = batchinfer.init("any", "data.csv", folder=root)
        except InputError as error:
            assert not os.path.exists(root / "conf"), error
            return
        written = Path(str(report.file)).read_text(encoding="utf-8")
        source: Any = Context.open(str(report.file)).pipeline.source
        fields = schema_fields(source)
        assert fields is not None
        listed = list_files(source.path, root)
        blocks = list(read_splits(plan_source_splits(listed, source, fields), source, fields))
        landed = sum(block.rows.num_rows for block in blocks)
        bad = [one for block in blocks for one in block.bad]
        assert landed >= 1
        assert report.records_read == landed + len(bad)
        assert {one.reason for one in bad} <= {"field_count", "quote", "header", "bare_cr"}
        for one in bad:
            assert f"reason {one.reason}; the first is line" in written
        assert source.key == ("source_file", "source_line") or source.key[0] in fields
