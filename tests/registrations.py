"""A project with one registry, for tests that register models trained elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from artefacts import a_frame

from batchinfer.command_reports import RegisterReport
from batchinfer.pipeline.register import register_model

SCHEMA = "{id: int, a: double, b: double, c: double, kind: string, y: string}"
PIPELINE = """\
name: NAME
source: {kind: csv, path: in/*.csv, schema: SCHEMA, key: id, slice: ingest_date}
FEATURES
train: {target: {column: y, positive: ["yes", "1"]}}
model: {uri: "models:/NAME@champion"}
sink: {table: predictions/NAME}
"""
FRAME = a_frame(9)
EXAMPLE = torch.randn(4, 3)


class Project:
    """A project with one registry, in which every test has a pipeline and a model of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def pipeline(
        self,
        name: str,
        features: str = "",
        schema: str = SCHEMA,
        more: str = "",
        train: bool = True,
    ) -> str:
        file = self.root / "conf" / "pipelines" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        text = (
            PIPELINE.replace("NAME", name).replace("SCHEMA", schema).replace("FEATURES", features)
        )
        if not train:
            text = re.sub(r"^train: .*\n", "", text, flags=re.MULTILINE)
        file.write_text(text + more)
        return str(file)

    def context(self, name: str, *overrides: str, **how: Any) -> Any:
        from batchinfer.pipeline.definition.context import Context

        return Context.open(self.pipeline(name, **how), overrides=overrides)

    def register(
        self, name: str, artifact: Path | str, *overrides: str, **how: Any
    ) -> RegisterReport:
        return register_model(self.context(name, *overrides, **how), str(artifact))


@contextmanager
def state_below(root: Path) -> Iterator[None]:
    """All state below a folder, which is the current one meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHINFER_HOME", str(root / "var"))
        patch.chdir(root)
        yield
