"""Programs of `torch.export` (`.pt2`): an archive of a graph as JSON and of raw tensors.

Owns what such an archive may hold. `torch.export.load` is not safe by itself, in more ways than its
pickles: it falls back to `weights_only=False`, unpickles objects that the archive calls opaque,
loads compiled libraries, resolves any name below `torch` as an operator, hands the shapes'
expressions to SymPy, which evaluates them, and compiles guards and argument names as Python. So
only raw tensors and the graph are taken over into a fresh archive, and each string in the graph
must be one that computing needs: see `program_json`. Runs nothing in `check`.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
from collections.abc import Generator
from typing import Any

from batchinfer.errors import ModelError
from batchinfer.models.formats import archives, pickles
from batchinfer.models.formats.artifact import ForeignModule, ModelInput, TensorProgram, Trust
from batchinfer.models.formats.program_json import check_program, plain_json, without_comments

_PROGRAM = "models/model.json"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_SAMPLES = "data/sample_inputs/model.pt"
# Read by nobody here: what else PyTorch writes into an archive, by the start of its name.
_HARMLESS = (
    "archive_version",
    "byteorder",
    ".data/",
    "version",
    ".format_version",
    ".storage_alignment",
)
_SAMPLE_IMPORTS = re.compile(
    r"torch\._utils\._rebuild_(tensor_v2|parameter)|torch\._tensor\._rebuild_from_type_v2|torch\.\w+Storage"
    r"|torch\.(Tensor|device|Size)|torch\.nn\.parameter\.Parameter|torch\.serialization\._get_layout|collections\.OrderedDict"
    r"|torch\._export\.serde\.serialize\._reconstruct_fake_tensor"
)
_EXPORT_AGAIN = (
    "save it again with torch.export.save of PyTorch 2.10 or later, weights as plain tensors"
)


def check_program_archive(data: bytes) -> dict[str, bytes]:
    """The members that are loaded, without the archive's own top folder.

    Runs on: driver and executor.

    Raises:
        ModelError: the archive is damaged, or holds something that could do more than compute.
    """
    members = archives.without_root(archives.read_members(data))
    if members.get("archive_format") != b"pt2":
        raise ModelError(
            f"the archive does not say that it is of torch.export's format pt2; {_EXPORT_AGAIN}"
        )
    if _PROGRAM not in members:
        raise ModelError(
            f"the archive has no {_PROGRAM}; allowed: one program, called model, as "
            "torch.export.save writes it"
        )
    kept = {
        "archive_format": b"pt2",
        "archive_version": members.get("archive_version", b"0"),
        "byteorder": b"little",
    }
    if members.get("byteorder", b"little") != b"little":
        raise ModelError("the archive was written on a big-endian machine; allowed: little-endian")
    tensors: set[str] = set()
    for config in _CONFIGS:
        payload = plain_json(members.get(config, b""), config)
        tensors |= _raw_tensors(payload, config)
        kept[config] = json.dumps(payload).encode()
    for name in tensors:
        if name not in members:
            raise ModelError(f"the archive has no {name}, which its own list of tensors names")
        kept[name] = members[name]
    _refuse_others(members, {*kept, _PROGRAM, _SAMPLES})
    _check_samples(members.get(_SAMPLES, b""))
    program = without_comments(plain_json(members[_PROGRAM], _PROGRAM))
    check_program(program)
    # Nobody needs the example inputs, which are a pickle: PyTorch takes an empty record for none.
    return {**kept, _PROGRAM: json.dumps(program).encode(), _SAMPLES: b"", ".data/version": b"2\n"}


def _raw_tensors(payload: Any, config: str) -> set[str]:
    entries = payload.get("config") if isinstance(payload, dict) else None
    if not isinstance(entries, dict):
        raise ModelError(f"the archive's {config} is damaged: it lists no tensors")
    names: set[str] = set()
    for tensor, entry in entries.items():
        path = entry.get("path_name") if isinstance(entry, dict) else None
        raw = isinstance(path, str) and re.fullmatch(r"(weight|tensor)_\d+", path)
        if (
            not raw
            or entry.get("use_pickle") is not False
            or not isinstance(entry.get("tensor_meta"), dict)
        ):
            raise ModelError(
                f"the archive keeps {tensor!r} as {path!r}, a pickle or an object; allowed: raw "
                f"tensors; {_EXPORT_AGAIN}"
            )
        names.add(f"{config.rpartition('/')[0]}/{path}")
    return names


def _check_samples(data: bytes) -> None:
    """Example inputs are left out, whatever they are; but what would run something is no honest
    program.
    """
    found: set[str] = set()
    if data.startswith(archives.MAGIC):
        content = archives.without_root(archives.read_members(data)).get("data.pkl", b"")
        found = pickles.imported(content)
    elif data:
        found = pickles.imported(data)
    refused = sorted(name for name in found if not _SAMPLE_IMPORTS.fullmatch(name))
    if refused:
        raise ModelError(
            f"the archive's {_SAMPLES} is a pickle that would import {', '.join(refused)}; "
            "allowed: tensors"
        )


def _refuse_others(members: dict[str, bytes], known: set[str]) -> None:
    for name, data in members.items():
        if name in known or name.startswith(_HARMLESS):
            continue
        what = f" ({pickles.described(data)})" if pickles.is_pickle(data) else ""
        raise ModelError(
            f"the archive has a member {name!r}{what}; allowed: one program and its raw tensors; "
            f"{_EXPORT_AGAIN}"
        )


@contextlib.contextmanager
def _weights_only() -> Generator[None]:
    """Nothing in the fresh archive is unpickled; should a later PyTorch unpickle more, it may
    import nothing.
    """
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def open_program(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """The program as a module, after `check_program_archive`. Runs on: driver and executor.

    Raises:
        ModelError: as `check_program_archive`; or PyTorch cannot read it, or it takes something
            else than tensors.
    """
    import torch

    kept = check_program_archive(data)
    fresh = archives.write_archive({f"archive/{name}": content for name, content in kept.items()})
    noisy = logging.getLogger("torch.export")
    level = noisy.level
    try:
        noisy.setLevel(logging.ERROR)  # it warns that a buffer has no name that ends in .pt2
        with _weights_only():
            program: Any = torch.export.load(io.BytesIO(fresh))
        if device != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, device)
        inputs, named = _inputs(program)
        # Guards would be compiled as Python; what they hold is held by the checks of columns and
        # widths.
        module = program.module(check_guards=False)
    except ModelError:
        raise
    except Exception as error:  # the reader has no errors of its own
        text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise ModelError(
            f"PyTorch {torch.__version__} cannot load this program: {type(error).__name__}: "
            f"{text}; {_EXPORT_AGAIN}"
        ) from error
    finally:
        noisy.setLevel(level)
    return TensorProgram(module, inputs, named)


def _inputs(program: Any) -> tuple[list[ModelInput], list[str]]:
    """The inputs in their order, and the names of those that are called by name."""
    positional, keywords = program.call_spec.in_spec.children()
    names = list(program.graph_signature.user_inputs)
    called = [str(name) for name in keywords.context or ()]
    if (
        positional.num_leaves != positional.num_children
        or keywords.num_leaves != keywords.num_children
    ):
        raise ModelError(
            "the program takes tensors inside of lists or dicts; allowed: each tensor as an "
            "argument of its own"
        )
    values = {
        node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"
    }
    inputs = []
    for place, name in enumerate(names):
        value = values.get(name)
        if value is None or not hasattr(value, "dtype"):
            raise ModelError(f"the program takes {name!r}, which is no tensor; allowed: tensors")
        # Placeholders of keywords are named after them; the call goes by the keyword itself.
        shown = (
            called[place - positional.num_children]
            if place >= positional.num_children
            else str(name)
        )
        inputs.append(_input(shown, value))
    if not inputs:
        raise ModelError("the program takes no tensor; allowed: at least one")
    return inputs, called


def _input(name: str, value: Any) -> ModelInput:
    type_ = str(value.dtype).removeprefix("torch.")
    if not len(value.shape):
        raise ModelError(
            f"the program takes {name!r} as one value for all rows; allowed: tensors with a row "
            "for each row"
        )
    rows, *rest = (int(size) if isinstance(size, int) else None for size in value.shape)
    return ModelInput(name, type_, tuple(rest), fixed_rows=rows)
