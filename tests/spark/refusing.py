"""A network of a user's own that refuses the rows that a file beside it says, and replays of what
it refused.
"""

from __future__ import annotations

import re

from spark.projects import DAY, SmallProject

from batchinfer.command_reports import RunReport
from batchinfer.pipeline.replay import replay_slice

# Which rows the model refuses stands in a file, so that the same bundle scores them later.
NET = """
from pathlib import Path

import torch

FAULT = Path(__file__).with_name("refused")


class Net(torch.nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(features, outputs)

    def forward(self, features):
        above = float(FAULT.read_text()) if FAULT.exists() and not self.training else 1e9
        if bool((features[:, 0] > above).any()):
            raise ValueError(f"a size above {above} is too large for me")
        return self.layer(features)
"""


def refuse(project: SmallProject, above: float) -> None:
    (project.root / "refused").write_text(str(above))


def with_own_net(project: SmallProject, name: str = "small") -> None:
    module = f"replayed_{project.root.name}"
    project.write(f"{module}.py", NET)
    path = project.root / f"conf/pipelines/{name}.yaml"
    text = re.sub(r"hidden: \[.*?\],? ?|  model: mlp_\w+\n", "", path.read_text())
    path.write_text(text.replace("train:\n", f"train:\n  model: {{python: '{module}:Net'}}\n"))


def again(project: SmallProject, slice_: str = DAY, *overrides: str) -> RunReport:
    return replay_slice(project.context(*overrides), slice_, project.open_session)


def aside(project: SmallProject) -> list[dict[str, object]]:
    return [row for row in project.table("quarantine").to_pylist() if row["stage"] == "score"]
