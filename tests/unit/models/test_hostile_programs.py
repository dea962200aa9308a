"""Programs of PyTorch that would run code of their own are refused, in artefacts and bundles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from artefacts import changed_json, hostile_pickle, hostile_torch_pickle, rewritten

from batchinfer.pipeline.definition.context import Context

from .hostile_cases import assert_a_bundle_with_it_is_refused, put, refused

PROGRAM = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"


def use_pickle(config: str, kind: str) -> Callable[[dict[str, bytes], Path], None]:
    """A tensor that the archive says is pickled, or an object; its record is the payload."""

    def change(members: dict[str, bytes], marker: Path) -> None:
        folder = config.rpartition("/")[0]
        entry = {
            "path_name": f"{kind}_9",
            "is_param": False,
            "use_pickle": True,
            "tensor_meta": None,
        }
        changed_json(members, config, lambda value: value["config"].update({"evil": entry}))
        members[f"{folder}/{kind}_9"] = (
            hostile_pickle(marker) if kind == "opaque_obj" else hostile_torch_pickle(marker)
        )

    return change


def program(change: Callable[[Any, str], None]) -> Callable[[dict[str, bytes], Path], None]:
    """A graph in which some text is Python that makes the marker."""

    def changed(members: dict[str, bytes], marker: Path) -> None:
        code = f"__import__('os').system('touch {marker}')"
        changed_json(members, PROGRAM, lambda value: change(value, code))

    return changed


def rows_size(value: Any) -> Any:
    return value["graph_module"]["graph"]["tensor_values"]["features"]["sizes"][0]["as_expr"]


def first_node(value: Any) -> Any:
    return value["graph_module"]["graph"]["nodes"][0]


def root_call(value: Any) -> Any:
    return value["graph_module"]["module_call_graph"][0]["signature"]


def hidden_tree(value: Any, code: str) -> None:
    root_call(value)["in_spec"] = json.dumps(
        [
            1,
            {
                "type": "builtins.dict",
                "context": json.dumps({"__enum__": True, "fqn": "antigravity:x", "name": code}),
            },
        ]
    )


IN_PROGRAMS = {
    "weight that is a pickle": use_pickle(WEIGHTS, "weight"),
    "constant that is a pickle": use_pickle(CONSTANTS, "tensor"),
    "custom object": use_pickle(CONSTANTS, "custom_obj"),
    "opaque object": use_pickle(CONSTANTS, "opaque_obj"),
    "weights of the old layout": put("data/weights/model.pt", hostile_torch_pickle),
    "constants of the old layout": put("data/constants/model.pt", hostile_torch_pickle),
    "example inputs": put("data/sample_inputs/model.pt", hostile_torch_pickle),
    "example inputs that are no archive": put("data/sample_inputs/model.pt", hostile_pickle),
    "a second program": put("models/other.json", lambda _: b"{}"),
    "a compiled library": put("data/aotinductor/model/x.so", lambda _: b"\x7fELF"),
    "an extra pickle": put("extra/x.pkl", hostile_pickle),
    "a shape": program(lambda value, code: rows_size(value).update(expr_str=code)),
    "a shape inside of a symbol": program(lambda value,
    code: rows_size(value).update(expr_str=f'Symbol({code!r})')),
    "a shape by way of an attribute": program(lambda value,
    _: rows_size(value).update(expr_str="s0.__class__.mro()")),
    "an operator": program(lambda value, _: first_node(value).update(target="torch.os.system")),
    "an operator that writes": program(lambda value,
    _: first_node(value).update(target="torch.ops.aten.save.default")),
    "an operator that maps a file": program(
        lambda value, _: first_node(value).update(target="torch.ops.aten.from_file.default")
    ),
    "an extension": program(lambda value, _: first_node(value).update(target="#evil:x")),
    "the name of an argument": program(lambda value,
    code: root_call(value).update(forward_arg_names=[f"x=({code})"])),
    "the name of a node": program(lambda value, code: first_node(value).update(name=f"x=({code})")),
    "a tree": program(hidden_tree),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_PROGRAMS)
def test_a_hostile_program_is_refused(
    honest: Path, context: Context, tmp_path: Path, name: str
) -> None:
    marker = tmp_path / "marker"
    path = rewritten(
        honest / "net.pt2",
        tmp_path / "evil.pt2",
        lambda members: IN_PROGRAMS[name](members, marker),
    )
    refused(context, path, marker)
    assert_a_bundle_with_it_is_refused("torch.export", path.read_bytes(), tmp_path, marker)


def test_guards_are_never_compiled(honest: Path, tmp_path: Path) -> None:
    from batchinfer.models.formats.torch_export import open_program

    marker = tmp_path / "marker"
    guard = program(lambda value, code: value.update(guards_code=[code]))
    path = rewritten(
        honest / "net.pt2", tmp_path / "evil.pt2", lambda members: guard(members, marker)
    )
    module = open_program(path.read_bytes(), "cpu")
    module(features=torch.randn(2, 3))
    assert not marker.exists()


SCRIPTS = {
    "a pickle": put("data.pkl", hostile_pickle),
    "constants": put("constants.pkl", hostile_pickle),
    "code that writes a file": lambda members, marker: members.update(
        {
            name: data.replace(
                b"return ", f'torch.save(features, "{marker}")\n    return '.encode(), 1
            )
            for name, data in members.items()
            if name.endswith("artefacts.py") and name.startswith("code/")
        }
    ),
    "a class in C++": lambda members, _: members.update(
        {"code/x.py": b"x : __torch__.torch.classes.profiling.SourceRef"}
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_hostile_script_is_refused(
    honest: Path, context: Context, tmp_path: Path, name: str
) -> None:
    marker = tmp_path / "marker"
    path = rewritten(
        honest / "net.pt", tmp_path / "evil.pt", lambda members: SCRIPTS[name](members, marker)
    )
    assert path.read_bytes() != (honest / "net.pt").read_bytes()
    refused(context, path, marker)
    assert_a_bundle_with_it_is_refused("torchscript", path.read_bytes(), tmp_path, marker)
