"""TorchScript: an archive of tensors and of code in a language of its own, which `torch.jit`
interprets.

Owns what such an archive may hold. Its pickles are read by PyTorch's own reader, which imports no
Python; its code can do what TorchScript has words for, which includes reading and writing files:
those words are refused. Runs nothing in `check`.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

from batchinfer.errors import ModelError
from batchinfer.models.formats import archives, pickles
from batchinfer.models.formats.artifact import (
    ForeignModule,
    ModelInput,
    TensorProgram,
    Trust,
    first_line,
)

# `aten::save` writes a file, `aten::from_file` maps one; classes in C++ are whatever the
# environment has registered.
_FORBIDDEN = re.compile(rb"\b(save|from_file)\b|torch\s*\.\s*classes")
_KEPT = re.compile(
    r"(data|constants)\.pkl|(data|constants)/[\w.]+|code/[\w/.<>]+\.py|version|byteorder|\.data/(version|serialization_id)"
)
_IMPORTS = re.compile(
    r"__torch__\.(?!torch\.classes)[\w.<>]+|torch\._utils\._rebuild_(tensor_v2|qtensor|parameter)|torch\.\w+Storage"
    r"|torch\.jit\._pickle\.\w+|collections\.OrderedDict|torch\.(device|per_tensor_affine|per_channel_affine)"
)


def check_torchscript(data: bytes) -> dict[str, bytes]:
    """The members that are loaded, without the archive's own top folder.

    Runs on: driver and executor.

    Raises:
        ModelError: the archive is damaged, or holds something that could do more than compute.
    """
    members = archives.without_root(archives.read_members(data))
    kept = {name: content for name, content in members.items() if _KEPT.fullmatch(name)}
    for name in ("data.pkl", "constants.pkl"):
        if name not in kept:
            raise ModelError(f"the TorchScript archive has no {name}")
        refused = sorted(one for one in pickles.imported(kept[name]) if not _IMPORTS.fullmatch(one))
        if refused:
            raise ModelError(
                f"the TorchScript archive's {name} refers to {', '.join(refused)}; allowed: "
                "tensors and its own classes"
            )
    for name, content in kept.items():
        if name.startswith("code/") and (found := _FORBIDDEN.search(content)):
            word = found[0].decode()
            raise ModelError(
                f"the TorchScript archive's {name} says {word!r}; allowed: code that computes, and "
                "touches no file"
            )
    return kept


def open_torchscript(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """The script as a module, after `check_torchscript`. Runs on: driver and executor.

    Raises:
        ModelError: as `check_torchscript`; or PyTorch cannot read it, or it takes something else
            than tensors.
    """
    import torch

    kept = check_torchscript(data)
    fresh = archives.write_archive({f"archive/{name}": content for name, content in kept.items()})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # PyTorch would rather have torch.export; the file is as it is
            script: Any = torch.jit.load(io.BytesIO(fresh), map_location=device)
        script.eval()
        schema = script.forward.schema
    except Exception as error:  # the reader is C++, and its errors are of any kind
        raise ModelError(
            f"PyTorch {torch.__version__} cannot load this TorchScript: {first_line(error)}"
        ) from error
    return TensorProgram(script, _inputs(schema, _dtype(script)))


def _dtype(script: Any) -> str:
    """What its matrix is of: scripts do not tell, and a float32 tensor does not go into a network
    of doubles.
    """
    parameter = next((one for one in script.parameters() if one.is_floating_point()), None)
    return (
        "float64"
        if parameter is not None and str(parameter.dtype) == "torch.float64"
        else "float32"
    )


def _inputs(schema: Any, dtype: str) -> list[ModelInput]:
    inputs = []
    for argument in schema.arguments[1:]:
        if str(argument.type) == "Tensor":
            inputs.append(ModelInput(argument.name, dtype, ranked=False))
        elif not argument.has_default_value():
            raise ModelError(
                f"the script's forward takes {argument.name}: {argument.type}; allowed: tensors"
            )
    if not inputs:
        raise ModelError("the script's forward takes no tensor; allowed: at least one")
    return inputs
