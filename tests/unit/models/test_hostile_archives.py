"""Archives that would write elsewhere, fill the memory or hide a member are refused unread."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from batchinfer.pipeline.definition.context import Context

from .hostile_cases import refused


@pytest.mark.parametrize(
    "name", ["../marker", "/tmp/marker", "a/../../marker", "a\\..\\marker", "C:/marker", "a//b"]
)
@pytest.mark.parametrize(
    "first", ["archive/archive_format", "archive/constants.pkl", "schema.json", "archive/data.pkl"]
)
def test_names_that_lead_out_of_an_archive_are_refused(
    context: Context, tmp_path: Path, name: str, first: str
) -> None:
    path = tmp_path / "inner" / "model"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(first, b"pt2")
        archive.writestr(name, b"x")
    refused(context, path, tmp_path / "marker")
    assert not (tmp_path / "marker").exists() and not Path("/tmp/marker").exists()


@pytest.mark.parametrize(
    "first", ["archive/archive_format", "archive/constants.pkl", "schema.json", "archive/data.pkl"]
)
def test_an_archive_that_would_fill_the_memory_is_refused_unread(
    context: Context, tmp_path: Path, first: str
) -> None:
    path = tmp_path / "bomb"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(first, b"pt2")
        with archive.open("archive/zeros", "w") as member:
            for _ in range(100):
                member.write(bytes(2**20))
    text = refused(context, path, tmp_path / "marker")
    assert "unpacks to" in text


def test_two_members_of_one_name_are_refused(
    honest: Path, context: Context, tmp_path: Path
) -> None:
    path = tmp_path / "net.pt2"
    shutil.copy(honest / "net.pt2", path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(
            "net/models/MODEL.json", b"{}"
        )  # PyTorch's reader does not tell capitals apart
    assert "twice; allowed" in refused(context, path, tmp_path / "marker")
