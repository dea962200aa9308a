"""The text of the classes that bundles name: changed by one byte, every such bundle is refused."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from yesterday.archive import unpack

import batchinfer.models
from batchinfer.models.compiled import Compiled
from batchinfer.models.deriving import Deriving
from batchinfer.models.device_layout import Tiled
from batchinfer.models.formats.artifact import ForeignModule
from batchinfer.models.handler import Around, Handler, Postprocessed
from batchinfer.models.mlp import Mlp
from batchinfer.models.precision import Int8Linear, Lowered
from batchinfer.models.source_code import code_digests, source_digest

# A class of a project's own may extend any of these, and then its bundles hold their digests.
BY_MODULE = {
    "formats.estimator_predictor": {
        "EstimatorPredictor": "3b4f28d2542e7f09c7264df8cbc0584d7e96dcaa82aa77ed37cb05da1d4da6c4",
    },
    "elsewhere.as_fitted": {
        "AsFittedValues": "cf91aebbbe629d76dcb3f9182b67bc5cb9e6ca23742e51f86ef75af4660e56f1",
        "AsFittedColumns": "227833a5e1f3e5b0ebe9d0ff066d28034d65b0dfde20bcdb2722ebdb5ff07852",
        "AsFittedClasses": "d360759f1fac4efda40b624078978a45c8285298518db70ede962a2c30f36562",
        "AsFitted": "11e8e20c4ccc1f089a8a448ec6f403f5d73a5420d6ad458738931d2606b7baa2",
    },
    "foreign": {
        "ForeignClassifier": "70c0f90c43ef6d0aa2ba6eb677546bf283668dc0026bf0cdc59a61be31637798",
        "ForeignColumns": "e0dce5b862bc7d162f1738f001dd2562cbb3eb563ee31afa052bb2018e247d48",
        "ForeignHandler": "c7f09e660c97f52c9cf4dbf38a5b9b325df718d4d97072598d30c9545dadb35d",
        "ForeignLabels": "398cdcf649f13ebce674459215a35c63f8f0ccfa1d57045bfec436e6607bf9ae",
        "ForeignOutput": "f1756dbcc94d2e7886b9f1ee3d30fd4d06a2c2184bb268c66de4bd90b29918e2",
    },
    "elsewhere.named_classes": {
        "NamedClasses": "0c6fd662bc6a17584cf4c19da9b2a7dd069166eaeb32756ae25603d783a76d78",
    },
    "formats.boosting.boosted": {
        "BoostedTrees": "f3def1458c2988e7962e34aa1236463d59cf96d3619ec1ecd5eebaba42c7c7e0",
    },
    "formats.boosting.xgboost_model": {
        "XgboostTrees": "de9bf4be985ea39dc09a75e5b87860a051b8c25f681669353d88da35a8b173fd",
    },
    "formats.boosting.catboost_model": {
        "CatboostTrees": "d6ad6ccb710257cd08d2ecd34ed3c03fcff22fc79d34e1cc794b343b555a1ac1",
    },
    "formats.boosting.lightgbm_model": {
        "LightgbmTrees": "a2d281b43570415c755b5259acf7e5bfd9e6e3f5f432b9b697e84ba56377e22f",
    },
    "formats.artifact": {
        "Predictor": "e3216b69c1a49f8e61075b2586d323d12fd3481575b522eb648fdfa797cb7fef",
        "ForeignModule": "b0c30201a19eb7bd86bc2f0e364ba842fdab9dfcbfbd45aaae3c4d0db420c40e",
        "TensorProgram": "4361c43f1553c46cc986fc02907c3fcb17cf23815a71c1b87008000de9db5e95",
    },
    "formats.estimators": {
        "EstimatorModule": "1a64cbfe35da3421ae1170774573238d2f06728e238a23cc97aa064044eccb0f",
    },
    "formats.mlflow_model": {
        "PyfuncPredictor": "3e0650a110e4b28d29470dc7d46032cf3fce130e44d8853d9fef2b24b42fe8ec",
        "PyfuncModule": "22425b706f6023e4d409f45e792b05ec743718840ce2df89480f50e735a6a570",
    },
    "formats.onnx_model": {
        "OnnxPredictor": "5e75f7f0d71bb94d32360d2befdf9053bf4626aaae7786e11dfc9d9498a84791",
        "OnnxProgram": "c9a25b3f41c4fbd1a5f235c119d3a7f7c7b028dfe7e5736163a23282da4b3651",
    },
    "formats.weights": {
        "PlainModule": "bd16d5d22eedca703c6309dcf10bf85eb10e2b4fb1e5efbd7af2c90cb8ecacf2",
    },
    "handler": {
        "BinaryClassifier": "ef0b092ab24c25aace7888d69f321db97fea1ae0b5b1d13540e006c9ce22055e",
        "Handler": "656efd3c3351b3ae32805c37decbb7a241ce412c7ae5c3f344c632c9776b3bb8",
        "MultiClassifier": "1842ea1bbafc6db3ff20e76bc173a9e4108f1258036ed9e2c5d159364c4aeade",
        "RawOutput": "c062a57021dffb6faa2dafc175459cb9397ea79a11074288760722af18114fdc",
        "Regressor": "d9080a535c358837c46f42b70448b71f6b8796dae85c4fc6761bd36923559960",
    },
    "mlp": {
        "Mlp": "f506f42f317a78000b873c5e9ed920ebba20fefd10a3731c62d607ffadcd2b9d",
    },
}
DIGESTS = {
    f"batchinfer.models.{module}:{name}": digest
    for module, classes in BY_MODULE.items()
    for name, digest in classes.items()
}
# Put around a handler when it is loaded; what is registered is the handler inside.
NEVER_REGISTERED = {Postprocessed, Around, Lowered, Int8Linear, Compiled, Deriving, Tiled}


def path_of(class_: type) -> str:
    return f"{class_.__module__}:{class_.__qualname__}"


def classes_of_bundles() -> Iterator[type]:
    """Handlers and modules of ours, in whatever file below `models` they stand."""
    for found in pkgutil.walk_packages(batchinfer.models.__path__, "batchinfer.models."):
        for value in vars(importlib.import_module(found.name)).values():
            if (
                isinstance(value, type)
                and value.__module__ == found.name
                and issubclass(value, Handler | torch.nn.Module)
            ):
                yield value


@pytest.mark.parametrize(("place", "digest"), DIGESTS.items())
def test_no_byte_of_a_class_that_bundles_name_has_changed(place: str, digest: str) -> None:
    assert source_digest(place) == digest, (
        f"the text of {place} changed: every bundle that was registered with it would be refused "
        "(exit 7) until it is registered again. Put the text back, line breaks and docstrings too; "
        "what has to change belongs into another class, or into a function."
    )


def test_each_class_that_a_bundle_may_name_is_among_them() -> None:
    known = {path_of(class_) for class_ in classes_of_bundles() if class_ not in NEVER_REGISTERED}
    assert known == set(DIGESTS), (
        "a class that bundles may name is held here from the build that has it first"
    )


@pytest.mark.parametrize(
    "class_", [Mlp, *Handler.__subclasses__(), *ForeignModule.__subclasses__()]
)
def test_bases_count_with_a_class(class_: type) -> None:
    if class_ not in NEVER_REGISTERED:
        digests = code_digests(class_)
        assert digests.items() <= DIGESTS.items() and path_of(class_) in digests


def test_bundles_of_an_earlier_build_hold_just_these(tmp_path: Path) -> None:
    """The constants are what manifests say, and not merely what the text is today."""
    unpack("format-1", tmp_path)
    named: dict[str, str] = {}
    for path in tmp_path.glob("var/mlartifacts/*/*/artifacts/bundle/manifest.json"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        for role in ("handler", "module"):
            named |= (manifest[role] or {"code": {}})["code"]
    ours = {place: digest for place, digest in named.items() if place.startswith("batchinfer.")}
    assert {place.partition(":")[2] for place in ours} == {
        *("Handler", "BinaryClassifier", "MultiClassifier", "Regressor", "RawOutput", "Mlp"),
        *("ForeignHandler", "ForeignOutput", "ForeignClassifier", "ForeignColumns"),
    }
    assert ours.items() <= DIGESTS.items()
