"""What a skops file says that it will make, read as JSON before skops makes any of it.

Owns how the types of `skops_types` may come in, and the checks of numbers that scikit-learn copies
while it makes an object. Runs nothing of the model.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from batchinfer.errors import ModelError
from batchinfer.models.formats import archives, pickles, tree_checks
from batchinfer.models.formats.skops_types import CHECK_ARRAY, PARTIAL, VOUCHED

SCHEMA = "schema.json"
# Protocols 0 and 1 name functions in other places than the nodes that this module looks at.
_OLDEST_PROTOCOL = 2
_LOADER, _ID = "__loader__", "__id__"
_WATCHED = {
    "TreeNode": "a decision tree",
    "RandomGeneratorNode": "a random generator",
    "SparseMatrixNode": "a sparse array",
}
_LARGEST_POOL = 64
_TREE_KEYS = {"max_depth", "node_count", "nodes", "values"}


def not_vouched(schema: bytes, found: Sequence[str]) -> list[str]:
    """Those of `found`, types that skops does not trust by itself, that we do not vouch for either.

    A type of the table that comes in by another kind of node than skops writes for it, or a
    function in another place than scikit-learn puts it, is one of them.

    Runs on: driver and executor.
    """
    content = json.loads(schema)
    if content.get("protocol", 0) < _OLDEST_PROTOCOL:
        return list(found)
    strange: set[str] = set()
    places: dict[int, str] = {}
    for node in _nodes(content):
        loader, name = node[_LOADER], _type_name(node)
        if loader == "MethodNode":  # names a type, and takes any attribute of it
            return list(found)
        vouched = VOUCHED.get(name)
        if vouched is not None and (
            loader not in vouched.loaders
            or (vouched.places and places.get(id(node)) not in vouched.places)
            or (name == PARTIAL and _type_name(dict(_held(node)).get("func", {})) != CHECK_ARRAY)
        ):
            strange.add(name)
        places |= {id(held): f"{node.get('__class__')}.{key}" for key, held in _held(node)}
    return [name for name in found if name not in VOUCHED or name in strange]


def _held(node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What an object's node, or a partial's, holds by the attributes' names."""
    content = node.get("content")
    if node[_LOADER] == "ObjectNode" and isinstance(content, dict):
        content = content.get("content") if content.get(_LOADER) == "DictNode" else None
    elif node[_LOADER] != "PartialNode":
        return
    if isinstance(content, dict):
        yield from content.items()


def check_members(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """The file's members, fit to be loaded: trees' numbers and sparse arrays are checked.

    An object's number lets a later node stand for an earlier one; below a tree, where what was
    checked must be what is loaded, those numbers are dropped.

    Runs on: driver and executor.

    Raises:
        ModelError: a tree that does not hold together, or a sparse array that is no array.
    """
    schema = json.loads(members[SCHEMA])
    for node in list(_nodes(schema)):
        what = _WATCHED.get(node[_LOADER])
        try:
            if node[_LOADER] == "TreeNode":
                _check_tree(node, members)
            elif node[_LOADER] == "RandomGeneratorNode":
                _check_generator(node)
            elif node[_LOADER] == "SparseMatrixNode":
                _check_sparse(node, members)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelError(
                f"{what} in the skops file is damaged: {type(error).__name__}: {error}"
            ) from error
    return {**members, SCHEMA: json.dumps(schema).encode()}


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    # Whatever looks like a node counts as one, even where skops would not look; what holds comes
    # before what it holds.
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get(_LOADER), str):
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _type_name(node: Mapping[str, Any]) -> str:
    return f"{node.get('__module__')}.{node.get('__class__')}"


def _check_tree(node: dict[str, Any], members: Mapping[str, bytes]) -> None:
    arguments = _sealed(node["__reduce__"]["args"])
    _expect(arguments, "TupleNode", "builtins.tuple")
    features, classes, outputs = arguments["content"]
    fields = _fields(node["content"])
    if set(fields) != _TREE_KEYS:
        raise ValueError(f"got {sorted(fields)}; allowed: {sorted(_TREE_KEYS)}")
    tree_checks.check_tree_state(
        tree_checks.TreeState(
            features=_number(features),
            classes=_array(classes, members),
            outputs=_number(outputs),
            max_depth=_number(fields["max_depth"]),
            node_count=_number(fields["node_count"]),
            nodes=_array(fields["nodes"], members),
            values=_array(fields["values"], members),
        )
    )


def _check_generator(node: dict[str, Any]) -> None:
    # NumPy fills a pool of any size that it is told, in the square of that time.
    fields = _fields(node["content"]["seed_seq"])
    if "pool_size" in fields and not 0 <= _number(fields["pool_size"]) <= _LARGEST_POOL:
        raise ValueError(f"a pool of {_number(fields['pool_size'])}; allowed: {_LARGEST_POOL}")


def _sealed(node: Any) -> Any:
    for inner in _nodes(node):
        inner.pop(_ID, None)
    return node


def _fields(node: dict[str, Any]) -> dict[str, Any]:
    """The values of a dict whose keys are text, where nothing may stand for them."""
    _expect(_sealed(node), "DictNode", "builtins.dict")
    _expect(node["key_types"], "ListNode", "builtins.list")
    for key_type in node["key_types"]["content"]:
        _expect(key_type, "TypeNode", "builtins.str")
    if len(node["key_types"]["content"]) != len(node["content"]):
        raise ValueError("a dict has other keys than types of keys")
    return node["content"]


def _expect(node: Mapping[str, Any], loader: str, name: str) -> None:
    if (node[_LOADER], _type_name(node)) != (loader, name):
        raise ValueError(f"got a {_type_name(node)} by {node[_LOADER]}; allowed: {name}")


def _number(node: Mapping[str, Any]) -> int:
    if node[_LOADER] != "JsonNode":
        raise ValueError(f"got a {_type_name(node)}; allowed: a whole number")
    value = json.loads(node["content"])
    if type(value) is not int:
        raise ValueError(f"got {value!r}; allowed: a whole number")
    return value


def _array(node: Mapping[str, Any], members: Mapping[str, bytes]) -> np.ndarray:
    _expect(node, "NdArrayNode", "numpy.ndarray")
    content = members[node["file"]]
    if node["type"] != "numpy" or not content.startswith(np.lib.format.MAGIC_PREFIX):
        raise ValueError("got no array of numbers; allowed: a file as numpy.save writes it")
    return np.load(io.BytesIO(content), allow_pickle=False)


def _check_sparse(node: Mapping[str, Any], members: Mapping[str, bytes]) -> None:
    # An archive within the archive: the same rules hold for what it unpacks to.
    name = str(node.get("file"))
    if name not in members:
        raise ModelError(f"the skops archive has no member {name!r}, which its {SCHEMA} names")
    for inner, content in archives.read_members(members[name]).items():
        if pickles.is_pickle(content) or not content.startswith(np.lib.format.MAGIC_PREFIX):
            raise ModelError(
                f"the sparse array {name} of the skops file holds {inner}, which is no array; "
                "allowed: arrays as numpy.save writes them"
            )
