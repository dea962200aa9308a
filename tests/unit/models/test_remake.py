"""Which command makes a bundle's model again: the one that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchinfer.errors import ModelError
from batchinfer.hinted_commands import Asked
from batchinfer.models.bundle import verify_bundle
from batchinfer.models.bundle_writing import write_bundle
from batchinfer.models.handler import BinaryClassifier
from batchinfer.models.manifest import remake_command

OURS, THEIRS = "batchinfer.models.handler:BinaryClassifier", "my_models:Petals"


@pytest.mark.parametrize(
    ("facts", "handler", "command"),
    [
        ({"training_table": "t", "pipeline": "p"}, OURS, "batchinfer train -p p"),
        (
            {"artifact": {"name": "net.pt2"}, "pipeline": "p"},
            OURS,
            "batchinfer register -p p --artifact net.pt2 --alias champion",
        ),
        (
            {"artifact": {"name": "my net.pt2"}},
            OURS,
            None,
        ),
        (
            {"pipeline": "p"},
            THEIRS,
            "batchinfer register -p p --artifact my_models:Petals --alias champion",
        ),
        ({"artifact": None, "pipeline": "p"}, OURS, None),
        ({}, OURS, None),
    ],
)
def test_a_bundle_says_how_it_came_to_be(
    facts: dict[str, Any], handler: str, command: str | None
) -> None:
    assert remake_command({"facts": facts, "handler": {"class": handler}}) == command


def test_the_pipeline_and_the_alias_at_hand_are_taken() -> None:
    made = {"facts": {"pipeline": "p"}, "handler": {"class": THEIRS}}
    assert remake_command(made, Asked("q"), "best") == (
        "batchinfer register -p q --artifact my_models:Petals --alias best"
    )
    trained = {"facts": {"pipeline": "p", "training_table": "t"}, "handler": {"class": OURS}}
    assert remake_command(trained, Asked("q"), "best") == "batchinfer train -p q --alias best"
    assert remake_command({"handler": {"class": OURS}}) is None


@pytest.mark.parametrize(
    ("facts", "hint"),
    [
        (
            {"training_table": "t", "pipeline": "p"},
            "batchinfer train -p p makes the version again; or",
        ),
        (
            {"artifact": {"name": "w.safetensors"}, "pipeline": "p"},
            "batchinfer register -p p --artifact w.safetensors --alias champion makes the version "
            "again; or go back to one that is whole: batchinfer models -p p",
        ),
        (
            {},
            "Make the version again with train, or with register if it was trained elsewhere",
        ),
    ],
)
def test_a_damaged_bundle_is_made_again_as_it_was_made(
    tmp_path: Path, facts: dict[str, Any], hint: str
) -> None:
    write_bundle(
        tmp_path / "bundle",
        handler=BinaryClassifier(None, None, {}, ("a",)),
        module=None,
        transforms=None,
        signature={"inputs": [], "outputs": []},
        facts=facts,
    )
    (tmp_path / "bundle" / "signature.json").write_text("{}")
    with pytest.raises(ModelError) as caught:
        verify_bundle(tmp_path / "bundle")
    assert hint in str(caught.value.hint)
