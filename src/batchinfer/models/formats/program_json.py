"""The graph of a `torch.export` program as JSON: which strings may stand in it.

Owns the list of what is allowed: operators of ATen by their whole names, names that are names,
expressions of whole numbers. Loading a graph resolves, evaluates or compiles almost every string in
it, so a string that is not known to be harmless is refused. Knows no archive, and loads no PyTorch.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from batchinfer.errors import ModelError

_MOST_DEPTH = 100
# Whole names of operators; none of them touches a file, a library or another process.
_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|quantized|quantized_decomposed)\.(?!from_file\b|save\b|_print\b)"
    r"(__(and|or|xor|lshift|rshift|iand|ior|ixor|ilshift|irshift)__|[A-Za-z_](?!_)\w*)\.[A-Za-z]\w*"
    r"|torch\.ops\.higher_order\.(cond|while_loop|wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pos|abs|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.(ceil|floor|trunc|sqrt)|torch\.(sym_(int|float|max|min|not|ite|sum)|_sym_sqrt)"
)
# Parameters of a Sequential are called `0.weight`; keys of a ModuleDict may have dashes. No sign
# that a call could be made of.
_NAME = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)
_WORD = re.compile(r"[\w .,:+-]{0,200}")
_SYMBOL = re.compile(r"[suz]\w*")
_FUNCTIONS = {
    "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Mod", "PythonMod", "FloorDiv",
    "CleanDiv", "CeilDiv", "CeilToInt",
    "FloorToInt", "TruncToInt", "Max", "Min", "ToFloat", "IntTrueDiv", "FloatTrueDiv", "Eq", "Ne",
    "Lt", "Le", "Gt", "Ge", "And",
    "Or", "Not",
}  # fmt: skip
_TREES = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
_EXPRESSION_NODES = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.BinOp,
    ast.UnaryOp, ast.Compare,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.USub, ast.Eq, ast.NotEq,
    ast.Lt, ast.LtE, ast.Gt, ast.GtE,
)  # fmt: skip


def plain_json(data: bytes, name: str) -> Any:
    """A member of an archive as JSON.

    Raises:
        ModelError: it is none.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the archive's {name} is damaged: {error}") from error


def without_comments(program: Any) -> Any:
    """The program without what tells people where it came from, and without guards: the one is
    parsed, the others compiled.
    """
    if not isinstance(program, dict):
        raise ModelError("the program is damaged: no JSON object")
    return {**_without_metadata(program, 0), "guards_code": []}


def _without_metadata(value: Any, depth: int) -> Any:
    if depth > _MOST_DEPTH:
        raise ModelError(f"the program is nested more than {_MOST_DEPTH} deep")
    if isinstance(value, dict):
        return {
            name: {} if name == "metadata" else _without_metadata(one, depth + 1)
            for name, one in value.items()
        }
    return (
        [_without_metadata(one, depth + 1) for one in value] if isinstance(value, list) else value
    )


def check_program(program: Any) -> None:
    """Refuses every string that is not known to be harmless.

    Runs on: driver and executor.

    Raises:
        ModelError: names the string and its place.
    """
    _walk(program, "program", ())


def _walk(value: Any, key: str, place: tuple[str, ...]) -> None:
    if isinstance(value, dict):
        for name, one in value.items():
            # What ATen calls `self` is a name like others; keys are symbols, nodes, parameters.
            if not isinstance(name, str) or (name and not _NAME.fullmatch(name)):
                raise _refused(name, place, "names")
            if (
                name
                in (
                    "as_custom_obj",
                    "custom_obj",
                    "custom_obj_values",
                    "as_operator",
                    "treespec_namedtuple_fields",
                )
                and one
            ):
                raise _refused(name, place, "tensors and numbers, and no objects of other kinds")
            _walk(one, name, (*place, name))
    elif isinstance(value, list):
        for one in value:
            _walk(one, key, place)
    elif isinstance(value, str):
        _check_text(value, key, place)


def _check_text(text: str, key: str, place: tuple[str, ...]) -> None:
    if key == "target":
        if not _OPERATOR.fullmatch(text):
            raise _refused(text, place, "operators such as torch.ops.aten.linear.default")
    elif key == "expr_str":
        _check_expression(text, place)
    elif key in ("in_spec", "out_spec"):
        _check_tree(text, place)
    elif key in ("as_string", "as_strings", "torch_version", "verifiers", "as_device", "type"):
        if not _WORD.fullmatch(text):
            raise _refused(text, place, "plain words")
    elif text and not _NAME.fullmatch(text):
        raise _refused(text, place, "names")


def _check_expression(text: str, place: tuple[str, ...]) -> None:
    allowed = "sums, products and comparisons of whole numbers and symbols"
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval"))) if len(text) < 10_000 else []
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refused(text, place, allowed) from error
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        fine = isinstance(node, _EXPRESSION_NODES)
        if isinstance(node, ast.Name):
            fine = node.id in _FUNCTIONS if id(node) in called else bool(_SYMBOL.fullmatch(node.id))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # Symbol's own name, and the digits of a Float; SymPy evaluates no string that it gets
            # as an argument of these.
            fine = bool(re.fullmatch(r"[suz]\w*|-?\d+(\.\d+)?(e-?\d+)?", node.value))
        elif isinstance(node, ast.Call):
            fine = isinstance(node.func, ast.Name)
        if not fine:
            raise _refused(text, place, allowed)
    if not nodes:
        raise _refused(text[:80], place, allowed)


def _check_tree(text: str, place: tuple[str, ...]) -> None:
    allowed = "arguments in tuples, lists and dicts"
    try:
        protocol, tree = json.loads(text)
        pending = [tree]
        while pending:
            node = pending.pop()
            pending += node["children_spec"]
            if node["type"] not in _TREES or not _names_only(json.loads(node["context"] or "null")):
                raise _refused(text, place, allowed)
        if not isinstance(protocol, int):
            raise _refused(text, place, allowed)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refused(text, place, allowed) from error


def _names_only(context: Any) -> bool:
    return context is None or (
        isinstance(context, list)
        and all(isinstance(name, str) and _NAME.fullmatch(name) for name in context)
    )


def _refused(text: Any, place: tuple[str, ...], allowed: str) -> ModelError:
    shown = text if len(str(text)) <= 120 else f"{str(text)[:117]}..."
    return ModelError(
        f"the program says {shown!r} at {'.'.join(place[-4:])}; allowed there: {allowed}"
    )
