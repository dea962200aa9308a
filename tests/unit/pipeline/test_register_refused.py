"""`register` refuses what cannot be a model of the pipeline, says why, and leaves nothing
behind.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from artefacts import a_net, save_linear_onnx, save_program, save_script
from registrations import EXAMPLE, FRAME, Project

import batchinfer
from batchinfer.errors import BatchInferError, ConfigError, ModelError, StorageError
from batchinfer.pipeline.models import model_versions
from batchinfer.pipeline.register import register_model
from batchinfer.pipeline.train import train_pipeline


class Static(torch.nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.reshape(4, 3).sum(1)


class Squeezed(torch.nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.sum(1, keepdim=True).squeeze()


class Mean(torch.nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.mean()


class Pair(torch.nn.Module):
    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return features.sum(1), features.mean(1)


class Logarithm(torch.nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.log(features - 1).sum(1)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Static(), "failed on an example of 2 rows"),
        (Squeezed(), "shape () for 1 rows"),
        (Mean(), "shape () for 2 rows"),
        (Pair(), "gives 2 outputs"),
    ],
)
def test_a_model_that_gives_no_prediction_for_each_row_is_refused(
    project: Project, tmp_path: Path, module: torch.nn.Module, said: str
) -> None:
    with pytest.raises(ModelError) as caught:
        project.register("odd", save_script(tmp_path / "odd.pt", module))
    assert said in str(caught.value) and str(tmp_path / "odd.pt") in str(caught.value)
    with pytest.raises(ModelError, match="no model 'odd'"):
        model_versions(project.context("odd"))


def test_a_static_batch_is_refused_with_what_to_do(project: Project, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="batches of 4 rows only") as caught:
        project.register(
            "static", save_program(tmp_path / "net.pt2", a_net(), EXAMPLE, dynamic=False)
        )
    assert caught.value.hint is not None and "dynamic" in caught.value.hint


def test_numbers_that_are_none_are_warned_of_and_set_aside(
    project: Project, tmp_path: Path
) -> None:
    report = project.register("nan", save_script(tmp_path / "nan.pt", Logarithm()))
    assert "quarantined" in report.warnings[0]
    frame = FRAME.assign(a=3.0, b=3.0, c=3.0)
    frame.loc[2, "a"] = -1.0
    found = batchinfer.predict(frame, "models:/nan@champion")
    assert found["error"][2].startswith("not_finite") and found["error"].drop(2).isna().all()


@pytest.mark.parametrize(
    ("names", "said"),
    [({"x": 5}, "takes 5 values a row in 'x'.*a, b, c.*give 3"),
    ({"a": 1, "speed": 1}, "speed are no landed columns"),
     ({"a": 2}, "takes 2 values a row in 'a'; the landed column of that name has 1"),
     ({"kind": 1}, "takes float32 in 'kind'; the landed column of that name is string")],
)  # fmt: skip
def test_inputs_that_no_column_fits_are_told(
    project: Project, tmp_path: Path, names: dict[str, int], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        project.register("misfit", save_linear_onnx(tmp_path / "sum.onnx", names))


def test_a_dead_registry_is_told_within_seconds_and_leaves_nothing(
    project: Project, tmp_path: Path
) -> None:
    path = save_linear_onnx(tmp_path / "sum.onnx", {"x": 3})
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        context = project.context("dead")
        context.environment.__dict__["registry"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(StorageError, match="does not answer") as caught:
            register_model(context, str(path))
    assert caught.value.exit_code == 8 and time.monotonic() - start < 60


@pytest.mark.parametrize(
    ("artifact", "alias", "error"),
    [("", None, ConfigError), ("s3://bucket/model.onnx", None, ConfigError),
    ("sum.onnx", "9 lives", ConfigError),
     ("sum.onnx", "latest", ConfigError), ("sum.onnx", "V2", ConfigError),
     ("sum.onnx", "a" * 256, ConfigError),
     ("none.onnx", None, ConfigError), ("file:/no/such.onnx", None, ConfigError),
     ("models:/none", None, BatchInferError)],
)  # fmt: skip
def test_wrong_options(
    project: Project, artifact: str, alias: str | None, error: type[BatchInferError]
) -> None:
    with pytest.raises(error):
        register_model(project.context("wrong"), artifact, alias)


@pytest.mark.parametrize("option", ["--artifact", "--reference"])
def test_a_file_that_is_not_there_is_told_with_a_near_name_before_anything_heavy_is_loaded(
    project: Project, option: str
) -> None:
    Path("model.onnx").write_bytes(b"whatever")
    file = project.pipeline("near")
    options = {"--artifact": "model.onnx", "--reference": "model.onnx"} | {option: "modle.onnx"}
    script = (
        "import sys\n"
        "from batchinfer.errors import ConfigError\n"
        "import batchinfer\n"
        "try:\n"
        f"    batchinfer.register({file!r}, {options['--artifact']!r},"
        f" reference={options['--reference']!r})\n"
        "except ConfigError as error:\n"
        "    print(error, file=sys.stderr)\n"
        "    print(*[name for name in ('torch', 'mlflow', 'onnx') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )  # fmt: skip
    assert f"{option}: no such file: got 'modle.onnx' (did you mean model.onnx?)" in done.stderr
    assert done.stdout == "\n"


def test_words_that_can_be_no_version_or_trust_are_told_before_the_registry_is_asked(
    project: Project,
) -> None:
    context = project.context("words")
    context.environment.__dict__["registry"] = (
        "http://127.0.0.1:1"  # whoever asks it gets a StorageError
    )
    for version in ("abc", "", "-1", "champion", "0"):
        with pytest.raises(ConfigError, match="--promote: got"):
            model_versions(context, promote=version)
    with pytest.raises(ConfigError, match="trust: got 'yes'"):
        batchinfer.predict(FRAME, "models:/words@champion", trust="yes")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="got the model URI None"):
        batchinfer.predict(FRAME, None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="neither 'latest' nor"):
        train_pipeline(
            context, [], lambda: pytest.fail("no session is needed to refuse an alias"), alias="v3"
        )
