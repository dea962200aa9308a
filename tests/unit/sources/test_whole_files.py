"""Pictures and texts: a row a file, and what is neither is put aside with its first bytes."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter

from batchinfer.config.sources import Source
from batchinfer.contracts import BadRecord
from batchinfer.errors import InputError, InputMissing
from batchinfer.json_values import from_json, to_json
from batchinfer.sources import whole_files
from batchinfer.sources.listing import list_files
from batchinfer.sources.parsed import BLOCK_BYTES, Parsed
from batchinfer.sources.readers import plan_source_splits, read_fields, read_splits
from batchinfer.sources.source_splits import WholeFiles
from batchinfer.sources.text.byte_ranges import group_splits


def blocks_of(
    folder: Path, kind: str, block_bytes: int = BLOCK_BYTES, **options: str
) -> list[Parsed]:
    source: Any = TypeAdapter(Source).validate_python(
        {"kind": kind, "path": ["."], "options": options}
    )
    files = list_files(["."], folder)
    fields = read_fields(source, files)
    splits = plan_source_splits(files, source, fields)
    assert [from_json(WholeFiles, to_json(split)) for split in splits] == splits
    blocks = list(read_splits(splits, source, fields, block_bytes))
    assert sum(block.records_in for block in blocks) == len(files)
    assert all(block.records_in == block.rows.num_rows + len(block.bad) for block in blocks)
    return blocks


def read(
    folder: Path, kind: str, block_bytes: int = BLOCK_BYTES, **options: str
) -> tuple[list[dict[str, Any]], list[BadRecord]]:
    blocks = blocks_of(folder, kind, block_bytes, **options)
    for block in blocks:
        block.rows.validate(full=True)
    return [row for block in blocks for row in block.rows.to_pylist()], [
        record for block in blocks for record in block.bad
    ]


def picture(format_: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 30, 60)).save(buffer, format_)
    return buffer.getvalue()


def test_real_pictures_of_every_kind_are_taken_and_nothing_else_is(tmp_path: Path) -> None:
    kinds = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
    for kind in kinds:
        (tmp_path / f"a.{kind}").write_bytes(picture(kind))
    others = {
        "empty.png": b"",
        "text.png": b"BM and other words, long enough\0\0\0",
        "page.jpg": b"<html>" * 20_000,
        "cut.png": b"\x89PN",
    }
    for name, data in others.items():
        (tmp_path / name).write_bytes(data)
    rows, bad = read(tmp_path, "images")
    assert {row["path"] for row in rows} == {f"a.{kind}" for kind in kinds}
    for row in rows:
        data = (tmp_path / row["path"]).read_bytes()
        assert row == {
            "path": row["path"],
            "bytes": len(data),
            "digest": hashlib.sha256(data).hexdigest(),
            "content": data,
            "source_file": row["path"],
            "source_line": 1,
        }
        assert Image.open(io.BytesIO(row["content"])).size == (8, 6)
    assert {record.source_file: (record.reason, record.raw) for record in bad} == {
        name: ("not_an_image", data[: 64 * 1024]) for name, data in others.items()
    }
    messages = {record.source_file: record.message for record in bad}
    assert (
        messages["empty.png"]
        == "the file is empty; allowed: the first bytes of PNG, JPEG, GIF, WebP, BMP, TIFF"
    )
    assert (
        messages["page.jpg"].startswith("got 3c 68 74 6d 6c")
        and "the first 65,536 bytes are kept" in messages["page.jpg"]
    )


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(
        st.binary(max_size=12)
        | st.text(max_size=12).map(lambda text: text.encode("utf-8", "surrogatepass")),
        max_size=12,
    ),
    block=st.integers(1, 40),
)
def test_any_bytes_are_a_text_or_put_aside_whole(
    tmp_path_factory: pytest.TempPathFactory, texts: list[bytes], block: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for number, data in enumerate([*texts, b"one at least"]):
        (folder / f"{number:02}").write_bytes(data)
    rows, bad = read(folder, "texts", block)
    good: dict[str, str] = {}
    wrong: dict[str, bytes] = {}
    for path in folder.iterdir():
        try:
            good[path.name] = path.read_bytes().decode().removeprefix("\ufeff")
        except UnicodeDecodeError:
            wrong[path.name] = path.read_bytes()
    assert {row["path"]: row["content"] for row in rows} == good
    assert {record.source_file: record.raw for record in bad} == wrong
    assert all(record.reason == "not_utf8" for record in bad)


@pytest.mark.parametrize(
    ("encoding", "data", "content"),
    [
        ("utf-8", b"\xef\xbb\xbfa\0b\r\n", "a\0b\r\n"),
        ("latin-1", b"caf\xe9", "caf\u00e9"),
        ("latin-1", b"\xef\xbb\xbfa", "\u00ef\u00bb\u00bfa"),
        ("utf-16", "\ufeffé".encode("utf-16-le"), "é"),
        ("utf-16-le", "\ufeffé".encode("utf-16-le"), "é"),
        ("utf-8", b"", ""),
    ],
)
def test_texts_are_decoded_without_their_byte_order_mark(
    tmp_path: Path, encoding: str, data: bytes, content: str
) -> None:
    (tmp_path / "a").write_bytes(data)
    [row], bad = read(tmp_path, "texts", encoding=encoding)
    assert (row["content"], row["bytes"], row["digest"], bad) == (
        content,
        len(data),
        hashlib.sha256(data).hexdigest(),
        [],
    )


@pytest.mark.parametrize(
    ("encoding", "data"), [("cp1252", b"a\x81"), ("utf-16", b"\xff\xfea"), ("utf-7", b"+2AA-")]
)
def test_texts_that_their_encoding_cannot_hold(tmp_path: Path, encoding: str, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    rows, [record] = read(tmp_path, "texts", encoding=encoding)
    assert (rows, record.reason, record.raw) == ([], "encoding", data)
    assert f"the text is not {encoding}" in record.message


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_files_that_are_too_large_are_put_aside_with_their_size(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_files, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(whole_files, "HEAD_BYTES", 10)
    (tmp_path / "fits").write_bytes(
        picture("PNG").ljust(1000, b"\0") if kind == "images" else b"x" * 1000
    )
    (tmp_path / "large").write_bytes(b"y" * 1001)
    [row], [record] = read(tmp_path, kind)
    assert (row["path"], record.source_file, record.reason, record.raw) == (
        "fits",
        "large",
        "too_large",
        b"y" * 10,
    )
    assert record.message == "the file has 1,001 bytes; allowed: 1,000; the first 10 bytes are kept"


def test_blocks_stay_small_and_small_files_share_them(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"large-{number}.png").write_bytes(picture("PNG") + os.urandom(100_000))
    sizes = [block.rows.nbytes for block in blocks_of(tmp_path, "images", 250_000)]
    assert max(sizes) < 400_000 and len(sizes) >= 30
    for number in range(2000):
        (tmp_path / f"small-{number}.png").write_bytes(picture("PNG"))
    blocks = blocks_of(tmp_path, "images")
    assert len(blocks) < 20


def test_thousands_of_small_files_are_few_tasks(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / str(number)).write_bytes(b"x")
    source: Any = TypeAdapter(Source).validate_python({"kind": "texts", "path": ["."]})
    files = list_files(["."], tmp_path)
    splits = plan_source_splits(files, source, {})
    assert len(splits) == 6 and sum(len(split.files) for split in splits) == 3000
    assert 1 < len(group_splits(splits, 2)) <= 6


@pytest.mark.parametrize("change", ["gone", "longer", "touched"])
def test_a_file_that_is_gone_or_changed_since_it_was_listed(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    source: Any = TypeAdapter(Source).validate_python({"kind": "texts", "path": ["."]})
    files = list_files(["."], tmp_path)
    fields = read_fields(source, files)
    [split] = plan_source_splits(files, source, fields)
    if change == "gone":
        path.unlink()
    elif change == "longer":
        path.write_text("longer text")
    else:
        os.utime(path, ns=(0, files[0].mtime_ns + 1))
    with pytest.raises(
        InputMissing if change == "gone" else InputError, match=r"a\.txt (is gone|changed while)"
    ):
        list(read_splits([split], source, fields))


def test_columns_have_the_types_of_the_contract() -> None:
    images: Any = TypeAdapter(Source).validate_python({"kind": "images", "path": ["."]})
    assert dict(read_fields(images, [])) == {
        "path": pa.string(), "bytes": pa.int64(), "digest": pa.string(), "content": pa.binary(),
    }  # fmt: skip
    assert images.key == ("path",)
