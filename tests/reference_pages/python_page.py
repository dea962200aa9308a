"""The text of docs/python.md: every public name, from its signature and its docstring."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import batchinfer
from batchinfer import command_reports, errors
from batchinfer.pipeline.quarantined_records import QuarantineReport

FRAME = Path(__file__).parent / "python_frame.md"
_SECTION = re.compile(r"^(Args|Returns|Raises|Runs on|Example|Attributes):(.*)$", re.MULTILINE)
_ITEM = re.compile(r"^ {4}([\w, ]+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def python_page() -> str:
    """The text of the page."""
    text = FRAME.read_text(encoding="utf-8")
    names = [name for name in batchinfer.__all__ if inspect.isfunction(getattr(batchinfer, name))]
    functions = "\n\n".join(_function(name, getattr(batchinfer, name)) for name in names)
    text = text.replace("FUNCTIONS\n", f"{functions}\n")
    text = text.replace("CLASSES\n", "\n\n".join(_classes(names)) + "\n")
    text = text.replace("ERRORS\n", "\n".join(_errors()) + "\n")
    return text.replace("REPORTS\n", "\n".join(_reports()) + "\n")


def sections_of(thing: Any) -> dict[str, str]:
    """The parts of a docstring, by their names; what stands before the first is `""`."""
    parts = _SECTION.split(inspect.getdoc(thing) or "")
    rest = zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    found = {name: f"{line}\n{text}".strip("\n") for name, line, text in rest}
    return {"": parts[0].strip()} | found


def items_of(section: str) -> dict[str, str]:
    """`name: text` of a section; names that share a text have it each."""
    return {
        name.strip(): " ".join(text.split())
        for names, text in _ITEM.findall(section)
        for name in names.split(",")
    }


def shared_parameters() -> dict[str, str]:
    """What parameters mean that several functions have, by the table in the frame."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", FRAME.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows)


def _function(name: str, function: Callable[..., Any]) -> str:
    signature, told = inspect.signature(function), sections_of(function)
    own = items_of(told.get("Args", ""))
    lines = [f"## {name}", "", _one_line(told[""]), ""]
    lines += ["| parameter | type | default | what it says |", "|---|---|---|---|"]
    for each in signature.parameters.values():
        default = "" if each.default is inspect.Parameter.empty else f"`{each.default!r}`"
        meaning = own.get(each.name) or shared_parameters()[each.name]
        type_ = str(each.annotation).replace("|", "\\|")
        lines.append(f"| `{each.name}` | `{type_}` | {default or '**required**'} | {meaning} |")
    result = f"Returns `{signature.return_annotation}`"
    returns = _one_line(told.get("Returns", ""))
    lines += ["", f"{result}: {returns}" if returns else f"{result}.", ""]
    lines += ["| raises | exit | when |", "|---|---|---|"]
    raised = items_of(told["Raises"]).items()
    lines += [f"| `{error}` | {_exit_of(error)} | {when} |" for error, when in raised]
    return "\n".join([*lines, "", "```python", _code(told["Example"]), "```"])


def _exit_of(error: str) -> str:
    """The base of all errors has the code of what it tells of."""
    return "its own" if error == "BatchInferError" else str(getattr(errors, error).exit_code)


def _code(example: str) -> str:
    return inspect.cleandoc("\n" + example)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _classes(functions: list[str]) -> Iterator[str]:
    for name in batchinfer.__all__:
        if name in functions:
            continue
        thing = getattr(batchinfer, name)
        told = sections_of(thing)
        lines = [f"### {name}", "", *(_one_line(part) for part in told[""].split("\n\n")[:1]), ""]
        lines += ["| attribute | what it says |", "|---|---|"]
        lines += [f"| `{a}` | {text} |" for a, text in items_of(told["Attributes"]).items()]
        yield "\n".join(lines)


def _errors() -> Iterator[str]:
    yield "| error | exit | also a | when |"
    yield "|---|---|---|---|"
    for error in error_classes():
        builtins = [base.__name__ for base in error.__mro__ if base.__module__ == "builtins"]
        first = _one_line(sections_of(error)[""].split("\n\n")[0])
        yield f"| `{error.__name__}` | {error.exit_code} | `{builtins[0]}` | {first} |"


def error_classes() -> list[type[errors.BatchInferError]]:
    """Every error that is raised on purpose, by exit code."""
    found = [
        thing
        for thing in vars(errors).values()
        if inspect.isclass(thing) and issubclass(thing, errors.BatchInferError)
    ]
    return sorted(found, key=lambda error: error.exit_code)


def reports() -> Mapping[str, type[command_reports.Report]]:
    """What the functions return, by name."""
    found = {
        name: thing
        for name, thing in vars(command_reports).items()
        if inspect.isclass(thing) and issubclass(thing, command_reports.Report)
    }
    return found | {"QuarantineReport": QuarantineReport}


def _reports() -> Iterator[str]:
    yield "| report | fields |"
    yield "|---|---|"
    for name, report in reports().items():
        fields = ", ".join(f"`{field.name}`" for field in dataclasses.fields(report))
        yield f"| `{name}` | {fields} |"
