"""Every other kind of file in a bucket, with the real commands: landed, looked at again, and landed
with one object more.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from e2e.commands import Project
from PIL import Image
from s3.conftest import FIRST_S, Server
from s3.test_s3a import counts, extract, landed, quarantined, spools

pytestmark = pytest.mark.timeout(FIRST_S + 60)
PIPELINE = """\
name: small
source:
  {source}
  path: {path}
  slice: ingest_date
model: {{uri: "models:/small@champion"}}
checks: {{max_quarantine_rate: 0.5}}
sink: {{table: predictions/small}}
"""


def use(project: Project, path: str, *source: str) -> None:
    project.write(
        "conf/pipelines/small.yaml", PIPELINE.format(path=path, source="\n  ".join(source))
    )


def check_nothing_new(project: Project) -> None:
    again = extract(project)
    assert (again.json["status"], *counts(again)) == ("unchanged", 0, 0, 0, 0)
    assert spools(project) == []


def test_json_is_read_as_its_name_says(project: Project, server: Server, bucket: str) -> None:
    lines = [json.dumps({"id": n, "user": {"name": f"u{n}"}}) for n in range(6)]
    server.put(f"{bucket}/in/a.json", "\n".join(lines[:3]))
    server.put(
        f"{bucket}/in/2026/b.v1.json.gz",
        gzip.compress("\n".join([lines[3], "{", lines[4]]).encode()),
    )
    use(
        project,
        f"s3a://{bucket}/in",
        "kind: json",
        "schema: {id: long, name: {type: string, path: user.name}}",
    )
    assert counts(extract(project)) == (2, 6, 5, 1)
    assert {(row["id"], row["name"]) for row in landed(project)} == {(n, f"u{n}") for n in range(5)}
    [bad] = quarantined(project)
    assert (bad["source_file"], bad["source_line"], bad["raw"]) == ("2026/b.v1.json.gz", 2, b"{")
    check_nothing_new(project)
    server.put(f"{bucket}/in/c.json.bz2", bz2.compress(lines[5].encode()))
    assert counts(extract(project)) == (1, 1, 1, 0)
    assert {row["source_file"] for row in landed(project)} == {
        "a.json",
        "2026/b.v1.json.gz",
        "c.json.bz2",
    }


def test_an_array_of_json_that_is_compressed(project: Project, server: Server, bucket: str) -> None:
    server.put(f"{bucket}/in/a.json.gz", gzip.compress(json.dumps([{"id": 1}, {"id": 2}]).encode()))
    use(
        project,
        f"s3a://{bucket}/in/*.gz",
        "kind: json",
        "options: {array: true}",
        "schema: {id: long}",
        "key: id",
    )
    assert counts(extract(project)) == (1, 2, 2, 0)
    assert [row["source_line"] for row in landed(project)] == [1, 1]


def parquet(ids: list[int], name: str = "id") -> bytes:
    sink = io.BytesIO()
    pq.write_table(
        pa.table({name: pa.array(ids, pa.int64()), "color": [f"c{n}" for n in ids]}), sink
    )
    return sink.getvalue()


def test_parquet_with_partitions(project: Project, server: Server, bucket: str) -> None:
    server.put(f"{bucket}/t/day=2026-11-20/a.parquet", parquet([1, 2]))
    server.put(f"{bucket}/t/day=2026-11-21/part-0.snappy.parquet", parquet([3]))
    server.put(f"{bucket}/t/_SUCCESS", b"")
    use(project, f"s3a://{bucket}/t", "kind: parquet")
    assert counts(extract(project)) == (2, 3, 3, 0)
    assert {(row["id"], str(row["day"])) for row in landed(project)} == {
        (1, "2026-11-20"),
        (2, "2026-11-20"),
        (3, "2026-11-21"),
    }
    assert {row["source_file"] for row in landed(project)} == {
        "day=2026-11-20/a.parquet",
        "day=2026-11-21/part-0.snappy.parquet",
    }
    check_nothing_new(project)
    server.put(f"{bucket}/t/day=2026-11-22/a.parquet", parquet([4, 5]))
    assert counts(extract(project)) == (1, 2, 2, 0)
    for content, said in (
        (parquet([6])[:-30], "is no Parquet file, or is cut short"),
        (parquet([6], "idd"), "idd"),
    ):
        server.put(f"{bucket}/t/day=2026-11-23/a.parquet", content)
        wrong = extract(project)
        assert wrong.code == 3, wrong.stderr
        [told] = wrong.json["errors"]
        assert told.startswith(f"s3a://{bucket}/t/day=2026-11-23/a.parquet") and said in told, told
    assert (len(landed(project)), spools(project)) == (5, [])


def test_images(project: Project, server: Server, bucket: str) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(picture, "PNG")
    server.put(f"{bucket}/in/cats/a.png", picture.getvalue())
    server.put(f"{bucket}/in/cats/a copy.PNG", picture.getvalue())
    server.put(f"{bucket}/in/broken.jpg", b"no picture")
    use(project, f"s3a://{bucket}/in", "kind: images")
    assert counts(extract(project)) == (3, 3, 2, 1)
    rows = landed(project)
    assert (
        {row["path"] for row in rows}
        == {row["source_file"] for row in rows}
        == {"cats/a.png", "cats/a copy.PNG"}
    )
    assert {(row["content"], row["digest"]) for row in rows} == {
        (picture.getvalue(), hashlib.sha256(picture.getvalue()).hexdigest())
    }
    [bad] = quarantined(project)
    assert (bad["source_file"], bad["raw"]) == ("broken.jpg", b"no picture")
    check_nothing_new(project)
    server.put(f"{bucket}/in/dogs/a.png", picture.getvalue())
    assert counts(extract(project)) == (1, 1, 1, 0)


def test_texts(project: Project, server: Server, bucket: str) -> None:
    server.put(f"{bucket}/in/pos/a.txt", "schön\n".encode("latin-1"))
    server.put(f"{bucket}/in/neg/a.txt", b"")
    use(project, f"s3a://{bucket}/in/**/*.txt", "kind: texts", "options: {encoding: latin-1}")
    assert counts(extract(project)) == (2, 2, 2, 0)
    assert {row["path"]: row["content"] for row in landed(project)} == {
        "pos/a.txt": "schön\n",
        "neg/a.txt": "",
    }
    check_nothing_new(project)
    server.put(f"{bucket}/in/pos/b.txt", b"more")
    assert counts(extract(project)) == (1, 1, 1, 0)
    server.put(f"{bucket}/in/pos/b.txt", b"less")
    assert extract(project).code == 3
    assert counts(extract(project, "--set", "source.on_changed=replace")) == (1, 1, 1, 0)
    assert sorted(row["content"] for row in landed(project)) == ["", "less", "schön\n"]
