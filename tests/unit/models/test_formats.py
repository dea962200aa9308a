"""Formats of models trained elsewhere: told by their bytes, and what is opened gives what its own
library gives.
"""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from artefacts import COLUMNS, a_frame, a_net, save_linear_onnx, save_program, save_script

from batchinfer.errors import ModelError, SetupError
from batchinfer.models.formats.artifact import ForeignModule
from batchinfer.models.formats.catalogue import open_artifact
from batchinfer.models.formats.recognition import read_artifact, recognise

EXAMPLE = torch.randn(4, 3)


def opened(path: Path, trust: Any = "none") -> ForeignModule:
    artifact = read_artifact(path, trust)
    return open_artifact(artifact.format, artifact.data, "cpu", trust)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_program(folder / "net.pt2", a_net(), EXAMPLE)
    save_script(folder / "net.pt", a_net())
    save_linear_onnx(folder / "sum.onnx", {"x": 3})
    torch.save(a_net(), folder / "pickled.pth")
    (folder / "plain.pkl").write_bytes(pickle.dumps({"a": 1}))
    return folder


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("net.pt2", "torch.export"),
        ("net.pt", "torchscript"),
        ("sum.onnx", "onnx"),
        ("plain.pkl", "pickle"),
    ],
)
def test_a_format_is_told_by_its_bytes(
    folder: Path, tmp_path: Path, name: str, format: str
) -> None:
    assert read_artifact(folder / name, "none").format == format
    bare = tmp_path / "model"
    bare.write_bytes((folder / name).read_bytes())
    assert read_artifact(bare, "none").format == format
    misnamed = tmp_path / f"model{'.onnx' if format != 'onnx' else '.pt2'}"
    misnamed.write_bytes((folder / name).read_bytes())
    with pytest.raises(ModelError, match=r"named as .* but it is") as caught:
        read_artifact(misnamed, "none")
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("name", ["net.pt2", "net.pt", "sum.onnx"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_was_cut_off_is_refused(
    folder: Path, tmp_path: Path, name: str, share: float
) -> None:
    data = (folder / name).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ModelError, match=r"empty|cut off|damaged") as caught:
        opened(cut)
    assert str(cut) in str(caught.value)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt2", tmp_path, Path("/dev/null")):
        with pytest.raises(ModelError, match=str(path)):
            read_artifact(path, "none")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ModelError, match="named as an ONNX model but damaged"):
        read_artifact(tmp_path / "text.onnx", "none")


@pytest.mark.parametrize("name", ["net.pt2", "net.pt"])
def test_programs_of_pytorch_give_what_the_module_gives(folder: Path, name: str) -> None:
    module = opened(folder / name)
    assert [one.name for one in module.inputs] == ["features"]
    for rows in (0, 1, 2, 9):
        features = torch.randn(rows, 3)
        torch.testing.assert_close(module(features=features), a_net()(features))


def test_a_program_may_take_several_inputs_by_place_or_name(tmp_path: Path) -> None:
    class Two(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor, *, scale: torch.Tensor) -> torch.Tensor:
            return a.sum(1) * scale + b

    any_rows = {0: torch.export.Dim.DYNAMIC}
    shapes: Any = {"a": any_rows, "b": any_rows, "scale": any_rows}
    kwargs = {"scale": torch.randn(4)}
    program = torch.export.export(
        Two(), (torch.randn(4, 3), torch.randn(4)), kwargs, dynamic_shapes=shapes
    )
    torch.export.save(program, tmp_path / "two.pt2")
    module = opened(tmp_path / "two.pt2")
    assert [(one.name, one.shape) for one in module.inputs] == [
        ("a", (3,)),
        ("b", ()),
        ("scale", ()),
    ]
    given = {"a": torch.randn(2, 3), "b": torch.randn(2), "scale": torch.randn(2)}
    torch.testing.assert_close(module(**given), Two()(**given))


def test_parameters_may_be_called_by_numbers_and_with_dashes(tmp_path: Path) -> None:
    class Keyed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleDict({"first-part": torch.nn.Linear(3, 2)})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.parts["first-part"](x)

    x = torch.randn(5, 3)
    for number, module in enumerate(
        (torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()), Keyed())
    ):
        program = opened(save_program(tmp_path / f"{number}.pt2", module.eval(), EXAMPLE))
        torch.testing.assert_close(program(**{program.inputs[0].name: x}), module(x))


def test_a_program_with_most_kinds_of_layers_passes_the_checks(tmp_path: Path) -> None:
    class Layers(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = torch.nn.Conv1d(1, 4, 3), torch.nn.BatchNorm1d(4)
            self.lstm = torch.nn.LSTM(4, 6, batch_first=True)
            self.encoder = torch.nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
            self.register_buffer("scale", torch.arange(6.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.norm(self.conv(x.unsqueeze(1))).transpose(1, 2)
            with torch.no_grad():
                y = self.encoder(self.lstm(y)[0])
            mean = torch.where(y > 0, y * self.scale, y).mean(1) + torch.tensor(
                [1.0, 2, 3, 4, 5, 6]
            )
            return torch.cond(mean.sum() > 0, lambda z: z + 1, lambda z: z - 1, (mean,))

    layers = Layers().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about no_grad
        save_program(tmp_path / "layers.pt2", layers, torch.randn(4, 9))
    x = torch.randn(5, 9)
    torch.testing.assert_close(opened(tmp_path / "layers.pt2")(x=x), layers(x))


def test_onnx_gives_what_the_graph_says_and_takes_two_inputs(folder: Path, tmp_path: Path) -> None:
    x = torch.randn(5, 3)
    torch.testing.assert_close(opened(folder / "sum.onnx")(x=x), x.sum(1, keepdim=True))
    double = opened(save_linear_onnx(tmp_path / "double.onnx", {"a": 1, "b": 2}, "double"))
    assert [(one.name, one.type, one.width) for one in double.inputs] == [
        ("a", "float64", 1),
        ("b", "float64", 2),
    ]
    given = {"a": torch.randn(5, 1).double(), "b": torch.randn(5, 2).double()}
    torch.testing.assert_close(
        double(**given), torch.cat(list(given.values()), 1).sum(1, keepdim=True)
    )


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("classes", [["no", "yes"], ["u", "v", "w"], [0, 1]])
@pytest.mark.parametrize("kind", ["LogisticRegression", "GradientBoostingClassifier"])
def test_a_classifier_as_onnx_gives_its_probabilities_and_labels(
    tmp_path: Path, zipmap: bool, classes: list[Any], kind: str
) -> None:
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    x = np.random.default_rng(2).normal(size=(60, 3)).astype(np.float32)
    target = [classes[row % len(classes)] for row in range(60)]
    x[:, 0] += np.array([classes.index(one) for one in target])
    made: Any = {
        "LogisticRegression": LogisticRegression(),
        "GradientBoostingClassifier": GradientBoostingClassifier(n_estimators=5),
    }
    model = made[kind].fit(x, target)
    converted = to_onnx(model, x[:1], options={"zipmap": zipmap}, target_opset=18)
    (tmp_path / "model.onnx").write_bytes(converted.SerializeToString())
    module = opened(tmp_path / "model.onnx")
    assert module.gives == "classes"
    said = module(**{module.inputs[0].name: torch.from_numpy(x)})
    assert module.labels == tuple(str(one) for one in classes)
    np.testing.assert_allclose(said.scores, model.predict_proba(x), rtol=1e-4, atol=1e-5)
    assert said.labels.tolist() == [str(one) for one in model.predict(x)]
    first = open_artifact("onnx", converted.SerializeToString(), "cpu", "none", reading=1)
    torch.testing.assert_close(
        first(**{first.inputs[0].name: torch.from_numpy(x)}),
        torch.from_numpy(said.scores),
        check_dtype=False,
    )


def test_estimators_saved_by_skops_give_what_they_gave(tmp_path: Path) -> None:
    import skops.io
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = a_frame(20)
    target = ["yes" if one > 0 else "no" for one in frame["a"]]
    columns = make_column_transformer(
        (StandardScaler(), ["a", "b"]), (OneHotEncoder(handle_unknown="ignore"), ["kind"])
    )
    model = make_pipeline(columns, LogisticRegression()).fit(frame, target)
    skops.io.dump(model, tmp_path / "model.skops")
    module = opened(tmp_path / "model.skops")
    assert (module.frame, module.labels) == ((*COLUMNS, "kind"), ("no", "yes"))
    said = module(frame=frame)
    np.testing.assert_array_equal(said.scores, model.predict_proba(frame))
    np.testing.assert_array_equal(said.labels, model.predict(frame))
    plain = LinearRegression().fit(frame[["a", "b"]].to_numpy(), frame["c"])
    skops.io.dump(plain, tmp_path / "plain.skops")
    matrix = torch.from_numpy(frame[["a", "b"]].to_numpy())
    module = opened(tmp_path / "plain.skops")
    assert [(one.width, one.type) for one in module.inputs] == [(2, "float64")]
    np.testing.assert_array_equal(module(features=matrix).numpy(), plain.predict(matrix.numpy()))


def test_types_that_nobody_vouches_for_are_named_and_need_trust(tmp_path: Path) -> None:
    import skops.io
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    x = np.random.default_rng(2).normal(size=(20, 3))
    model = make_pipeline(StandardScaler(), FunctionTransformer(np.nan_to_num)).fit(x)
    skops.io.dump(model, tmp_path / "own.skops")
    with pytest.raises(ModelError, match=r"numpy\.nan_to_num") as caught:
        opened(tmp_path / "own.skops")
    assert caught.value.hint is not None and "trust: pickle" in caught.value.hint
    numbers = opened(tmp_path / "own.skops", "pickle")(features=torch.from_numpy(x))
    np.testing.assert_array_equal(numbers.numpy(), model.transform(x))


def test_a_pickled_module_is_opened_only_where_it_is_trusted(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"not trusted: loading it would import .*artefacts\.Net"):
        opened(folder / "pickled.pth")
    features = torch.randn(3, 3)
    torch.testing.assert_close(
        opened(folder / "pickled.pth", "pickle")(features=features), a_net()(features)
    )


def test_a_package_that_is_not_installed_is_named_with_its_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = read_artifact(folder / "sum.onnx", "none")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SetupError, match=r"onnxruntime is not installed.*extra onnx"):
        open_artifact("onnx", artifact.data, "cpu", "none")


@pytest.mark.parametrize("name", ["net.pt2", "net.pt", "sum.onnx"])
def test_whatever_byte_is_damaged_there_is_a_model_error_or_a_model(
    folder: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    data = (folder / name).read_bytes()
    random = np.random.default_rng(7)
    for _ in range(40):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), random.integers(1, 20)):
            damaged[place] = random.integers(0, 256)
        with contextlib.suppress(ModelError):
            open_artifact(recognise(folder / name, bytes(damaged)), bytes(damaged), "cpu", "none")
    assert capfd.readouterr().out == "", "standard output belongs to the JSON line"


def test_the_list_of_formats_loads_none_of_their_libraries() -> None:
    code = (
        "import sys; import batchinfer.models.formats.catalogue, batchinfer.models.manifest;"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'skops', 'sklearn', 'mlflow') if "
        "name in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
