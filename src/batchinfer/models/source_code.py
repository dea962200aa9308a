"""Digests of the code that a bundle relies on, taken without running that code.

Owns the rule for what counts as changed code. A class of batchinfer counts by its own text
(docstrings included), so that a new release does not spoil bundles whose classes stayed the same;
any other class counts by its whole file, because the functions and constants beside it decide the
answer too.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from functools import lru_cache
from typing import Any

from batchinfer.errors import ModelError

_OWN = "batchinfer"
# What the environment's own versions pin; their text is not part of a model.
_FOREIGN = {"builtins", "abc", "typing", "torch", "numpy", "pyarrow", "sklearn"}


def class_path(class_: type) -> str:
    """`package.module:Class` of a class that can be imported by that path.

    Runs on: driver.

    Raises:
        ModelError: the class lives in a script, a notebook or inside a function.
    """
    path = f"{class_.__module__}:{class_.__qualname__}"
    if class_.__module__ == "__main__" or "." in class_.__qualname__:
        raise ModelError(
            f"{path} cannot be imported by its path. Put the class at the top level of a module on "
            "PYTHONPATH."
        )
    return path


def code_digests(class_: type) -> dict[str, str]:
    """SHA-256 of the source of a class and of its bases, by what was read: a class path, or a
    module name.

    Runs on: driver.

    Raises:
        ModelError: the source cannot be found.
    """
    class_path(class_)
    places = []
    for base in class_.__mro__:
        package = base.__module__.partition(".")[0]
        if package not in _FOREIGN:
            places.append(
                f"{base.__module__}:{base.__qualname__}" if package == _OWN else base.__module__
            )
    return {place: source_digest(place) for place in places}


def source_digest(place: str) -> str:
    """SHA-256 of the source text at a module name or a class path, read from where Python would
    import it.

    The module itself is not imported (its parent packages are). Runs on: driver and executor.

    Raises:
        ModelError: there is no such module or class, or its source is not at hand.
    """
    module, _, name = place.partition(":")
    text = _source(module)
    return hashlib.sha256((_class_text(place, text, name) if name else text).encode()).hexdigest()


def _source(module: str) -> str:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError) as error:
        raise ModelError(
            f"the module {module} cannot be found: {error}. It must be on PYTHONPATH."
        ) from error
    if spec is None:
        raise ModelError(f"the module {module} cannot be found. It must be on PYTHONPATH.")
    loader: Any = spec.loader
    try:
        text = loader.get_source(module) if hasattr(loader, "get_source") else None
    except (ImportError, OSError, SyntaxError) as error:
        raise ModelError(f"the source of {module} cannot be read: {error}") from error
    if text is None:
        raise ModelError(
            f"the source of {module} is not at hand, so its code cannot be compared with the "
            "bundle's"
        )
    return text


# A command verifies its bundle more than once, and to parse the source takes longer than all else.
@lru_cache(maxsize=64)
def _class_text(place: str, text: str, name: str) -> str:
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        raise ModelError(f"the source of {place} cannot be parsed: {error}") from error
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    raise ModelError(f"{place}: the module has no class {name} any more")
