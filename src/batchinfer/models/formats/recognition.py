"""What a file is, told by its bytes; a name that says otherwise is an error, because somebody was
wrong about it.

Owns the telling apart of formats, and the reading of an artefact from disk. Loads nothing of a
model.
"""

from __future__ import annotations

import stat
from pathlib import Path

from batchinfer.config.suggestions import listed
from batchinfer.errors import ModelError
from batchinfer.models.formats import archives, mlflow_model, pickles
from batchinfer.models.formats.artifact import TRUST_HINT, Artifact, Trust
from batchinfer.models.formats.boosting.catboost_file import is_catboost
from batchinfer.models.formats.boosting.lightgbm_file import is_lightgbm
from batchinfer.models.formats.boosting.xgboost_file import is_xgboost
from batchinfer.models.formats.catalogue import (
    CATBOOST,
    FORMATS,
    LIGHTGBM,
    MLFLOW,
    PICKLE,
    XGBOOST,
)
from batchinfer.models.formats.skops_model import SCHEMA

SAFETENSORS = "safetensors"
_SAFETENSORS_SUFFIX = ".safetensors"
_MOST_HEADER_BYTES = 100 * 2**20
_ALLOWED = (
    ".pt2, TorchScript, .onnx, .skops, .safetensors with the class that it is for, the files of "
    "XGBoost (.json, .ubj), LightGBM (.txt) and CatBoost (.cbm, .json), an MLflow model"
)


def read_file(path: Path) -> bytes:
    """The bytes of an artefact.

    Runs on: driver.

    Raises:
        ModelError: no such file, not a plain one, empty, or not readable.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ModelError(f"{path}: not a plain file; allowed: {_ALLOWED}")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; allowed: {_ALLOWED}") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if not data:
        raise ModelError(f"{path}: empty; allowed: {_ALLOWED}")
    return data


def recognise(path: Path, data: bytes) -> str:
    """Name of the format: one of `catalogue.FORMATS`, or `safetensors`.

    Runs on: driver.

    Raises:
        ModelError: no format that is known, damaged, or named as another.
    """
    try:
        found = _by_content(data)
    except ModelError as error:
        raise ModelError(
            [f"{path}: {problem}" for problem in error.problems], error.hint
        ) from error
    named = [name for name, format in FORMATS.items() if path.suffix.lower() in format.suffixes]
    named += [SAFETENSORS] if path.suffix.lower() == _SAFETENSORS_SUFFIX else []
    if found is None:
        what = (
            f", named as {_title(named[0])} but damaged, cut off or something else" if named else ""
        )
        raise ModelError(
            f"{path}: not the file of a model that is known{what}; allowed: {_ALLOWED}"
        )
    if named and found not in named:
        raise _misnamed(path, data, found, named)
    return found


def _title(name: str) -> str:
    return "safetensors" if name == SAFETENSORS else FORMATS[name].title


def _misnamed(path: Path, data: bytes, found: str, named: list[str]) -> ModelError:
    is_pickle = found == PICKLE and not data.startswith(archives.MAGIC)
    what = f" ({pickles.described(data)})" if is_pickle else ""
    suffixes = FORMATS[found].suffixes if found in FORMATS else (_SAFETENSORS_SUFFIX,)
    return ModelError(
        f"{path}: named as {_title(named[0])}, but it is {_title(found)}{what}; allowed for that: "
        f"{', '.join(suffixes)}"
    )


def _by_content(data: bytes) -> str | None:
    if data.startswith(archives.MAGIC):
        return _by_members(archives.member_names(data))
    if (trees := _by_library(data)) is not None:
        return trees
    if pickles.is_pickle(data):
        return PICKLE
    if _is_safetensors(data):
        return SAFETENSORS
    from batchinfer.models.formats.onnx_model import is_onnx

    if is_onnx(data):
        return "onnx"
    # joblib may compress what it pickles.
    return PICKLE if data[:2] in (b"\x78\x01", b"\x78\x9c", b"\x78\xda", b"\x78\x5e") else None


def _by_library(data: bytes) -> str | None:
    """The library of boosted trees whose file it is."""
    if is_lightgbm(data):
        return LIGHTGBM
    if is_xgboost(data):
        return XGBOOST
    return CATBOOST if is_catboost(data) else None


def _by_members(names: list[str]) -> str:
    below = {name.partition("/")[2] for name in names}
    if SCHEMA in names:
        return "skops"
    if "archive_format" in below or any(
        name.startswith("models/") and name.endswith(".json") for name in below
    ):
        return "torch.export"
    if "constants.pkl" in below:
        return "torchscript"
    if "data.pkl" in below:
        return PICKLE
    if "serialized_exported_program.json" in names:
        raise ModelError(
            "a torch.export program of an older PyTorch, which kept weights as pickles; export it "
            "again"
        )
    raise ModelError(
        "an archive of no model format that is known: it holds "
        f"{listed(sorted(names)[:5], none='nothing')}"
    )


def _is_safetensors(data: bytes) -> bool:
    size = int.from_bytes(data[:8], "little")
    return data[8:9] == b"{" and 2 <= size <= min(_MOST_HEADER_BYTES, len(data) - 8)


def read_artifact(path: Path, trust: Trust) -> Artifact:
    """A file, or an MLflow model folder, as an artefact; for safetensors only its bytes.

    Runs on: driver.

    Raises:
        ModelError: no such file, damaged, or an MLflow model that is not trusted.
    """
    if path.is_dir():
        try:
            weights = weights_in(path)
            if weights is None:
                return _from_folder(path, trust)
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
        path = weights
    data = read_file(path)
    return Artifact(recognise(path, data), data, str(path))


def weights_in(folder: Path) -> Path | None:
    """The one safetensors file of a folder that holds nothing else to choose from; None where it is
    another kind of folder.
    """
    if (folder / mlflow_model.MLMODEL).exists() or (folder / "manifest.json").exists():
        return None
    found = sorted(folder.glob(f"*{_SAFETENSORS_SUFFIX}"))
    if len(found) > 1:
        raise ModelError(
            f"{folder}: holds {listed(path.name for path in found)}; allowed: the path of one of "
            "them"
        )
    return found[0] if found else None


def _from_folder(folder: Path, trust: Trust) -> Artifact:
    if (folder / "manifest.json").is_file():
        raise ModelError(
            f"{folder}: is a bundle already; allowed: a model trained elsewhere",
            "models --promote gives the alias to a version that is registered",
        )
    if not (folder / mlflow_model.MLMODEL).is_file():
        names = sorted(entry.name for entry in folder.iterdir())
        raise ModelError(
            f"{folder}: a folder without {mlflow_model.MLMODEL}; it holds "
            f"{listed(names[:8], none='nothing')}; "
            f"allowed: {_ALLOWED}"
        )
    files = mlflow_model.read_folder(folder)
    described = mlflow_model.read_mlmodel(files)
    columns = mlflow_model.input_names(described)
    plain = mlflow_model.plain_file(files, described)
    if plain is not None:
        return Artifact(recognise(folder / "model", plain), plain, str(folder), columns)
    packed = archives.write_archive(files)
    try:
        mlflow_model.check_pyfunc(packed, trust)
    except ModelError as error:
        raise ModelError(
            [f"{folder}: {problem}" for problem in error.problems], error.hint or TRUST_HINT
        ) from error
    return Artifact(MLFLOW, packed, str(folder), columns)
