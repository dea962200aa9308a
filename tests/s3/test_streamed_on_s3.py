"""Streamed rows of an embedded store that lies in a bucket: one machine writes, another reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stores.conftest import batches, generation, write_layer

from batchinfer.lookups.stores.embedded_store import EmbeddedStore
from batchinfer.lookups.stores.generation import Pointer
from batchinfer.lookups.stores.stored_rows import GONE

ROWS = {b"%d" % number: b"loaded" for number in range(4)}


def test_rows_are_streamed_through_a_bucket(lake: str, tmp_path: Path) -> None:
    writer, reader = (
        EmbeddedStore(f"{lake}-online", str(tmp_path / machine)) for machine in ("one", "other")
    )
    for version in (1, 4, 5):
        found = writer.pointer()
        before = None if found is None else found.bare()
        layer = write_layer(writer, f"2026120{version}", ROWS)
        new = replace(generation(layer), name=layer.name, version=version, line="t")
        after = Pointer(new, None if before is None else before.current)
        writer.switch(after, before)
        writer.drop(writer.layers() - after.layers())
        writer.sweep_streamed()
        for commit in (version + 1, version + 2, version + 1):
            writer.upsert(commit, batches({b"1": b"%d" % commit, b"%d" % version: GONE}))
        told = reader.pointer()
        assert told is not None
        asked = sorted({b"0", b"1", b"%d" % version})
        seen = {b"0": b"loaded", b"1": b"%d" % (version + 2), b"%d" % version: None}
        if version == 1:
            seen[b"1"] = None
        assert reader.read(told.current, asked) == [seen[key] for key in asked]
    assert writer.layers() == {"20261204", "20261205", "streamed-t"}
    reader.close()
    writer.close()
