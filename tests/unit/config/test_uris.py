"""Places of a source: which are local, which are on a store, and what is refused before anything is
opened.
"""

from __future__ import annotations

import pytest

from batchinfer.config.uris import STORES, Uri, are_remote, check_place, check_places, is_remote


@pytest.mark.parametrize(
    "text",
    ["in/*.csv", "/data/a.csv", "file:///data/a.csv", "../in", "C:", "a:b.csv", "in/x:y/z.csv"],
)
def test_local_places(text: str) -> None:
    check_place(text)
    assert not is_remote(text)


@pytest.mark.parametrize(
    "text",
    [
        "hdfs:///logs",
        "viewfs:///logs",
        "abfss://c@account.dfs.core.windows.net/x",
        *(f"{scheme}://b/x" for scheme in STORES),
    ],
)
def test_places_on_stores(text: str) -> None:
    check_place(text)
    assert is_remote(text) and are_remote([text])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://b/x", r"'s3' \(did you mean s3a\?\)"),
        ("wasbs://c@a/x", "did you mean abfss"),
        ("s3b://b/x", "did you mean s3a"),
        (
            "ftp://b/x",
            "which nothing here reads; allowed: a local path, file:///…, or a URI that begins with "
            "s3a://, gs://",
        ),
        (r"C:\data\a.csv", "a path of Windows"),
        ("C:/data/a.csv", "a path of Windows"),
        (r"\\server\share\a.csv", "a path of Windows"),
        ("s3a:b/x", "allowed: s3a://…"),
        ("file:/x", "allowed: file:///…"),
        ("s3a:///x", "names no bucket"),
        ("s3a://b/in/../x", r"without \.\."),
        ("hdfs:///a/..", r"without \.\."),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_place(text)


def test_credentials_in_a_uri_are_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="holds credentials") as caught:
        check_place("s3a://key:topsecret@bucket/x")
    assert "topsecret" not in str(caught.value) and "key:" not in str(caught.value)


def test_one_source_is_local_or_on_stores() -> None:
    check_places(["s3a://a/x", "s3a://b/y"])
    check_places(["in", "file:///x"])
    with pytest.raises(ValueError, match=r"\('in'\); allowed: either"):
        check_places(["s3a://a/x", "in"])


def test_parts_of_a_uri() -> None:
    uri = Uri.parse("S3A://bucket/in//./a%20b/*.csv")
    assert (uri.scheme, uri.authority, uri.path) == ("s3a", "bucket", "/in/a%20b/*.csv")
    assert str(Uri.parse("hdfs:///logs/")) == "hdfs:///logs"
    assert str(Uri.parse("s3a://bucket")) == "s3a://bucket/"


def test_below_is_told_by_whole_parts() -> None:
    root = Uri.parse("s3a://b/in")
    assert Uri.parse("s3a://b/in/x").is_below(root) and Uri.parse("s3a://b/in/").is_below(root)
    assert not Uri.parse("s3a://b/inner").is_below(root)
    assert not Uri.parse("s3a://c/in/x").is_below(root)
    assert not Uri.parse("gs://b/in/x").is_below(root)
    assert Uri.parse("s3a://b/x").is_below(Uri.parse("s3a://b"))
