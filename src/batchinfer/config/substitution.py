"""`${NAME}` and `${NAME:-default}` in the strings of a document.

Owns the syntax. Knows no files; the caller says which environment variables there are. Keys that
end in `_env` hold the name of a variable: they are left alone, and what such a variable holds is
never read here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from batchinfer.contracts import Problem

_REFERENCE = re.compile(
    r"\$\$|\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^{}]*))?\}|\$\{", re.ASCII
)

Path = tuple[str | int, ...]


class FromVariable(str):
    """Text that came whole from a variable: where a number or true/false is wanted, it is read as
    one.
    """


def substitute(document: Any, variables: Mapping[str, str]) -> tuple[Any, list[Problem]]:
    """The document with every reference filled in, and one problem for each that cannot be.

    `$$` becomes `$`. A default also stands in for a variable that is set but empty, as in a shell.
    Text with a reference that cannot be filled stays as it is.
    """
    problems: list[Problem] = []
    return _substitute(document, (), variables, problems), problems


def _substitute(
    value: Any, path: Path, variables: Mapping[str, str], problems: list[Problem]
) -> Any:
    if isinstance(value, str):
        return value if _names_a_variable(path) else _fill(value, path, variables, problems)
    if isinstance(value, dict):
        return {
            key: _substitute(item, (*path, key), variables, problems) for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _substitute(item, (*path, place), variables, problems)
            for place, item in enumerate(value)
        ]
    return value


def _names_a_variable(path: Path) -> bool:
    keys = [part for part in path if isinstance(part, str)]
    return bool(keys) and keys[-1].endswith("_env")


def _fill(text: str, path: Path, variables: Mapping[str, str], problems: list[Problem]) -> str:
    if "$" not in text:
        return text
    found: list[Problem] = []

    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name, default = match["name"], match["default"]
        if name is None:
            found.append(
                Problem(
                    path,
                    f"got {text!r}; allowed: ${{NAME}} or ${{NAME:-default}}, and $$ for a dollar "
                    "sign",
                )
            )
        elif default is not None:
            return variables.get(name) or default
        elif name not in variables:
            found.append(
                Problem(
                    path,
                    f"variable {name} is not set; allowed: set it, or give a default with "
                    f"${{{name}:-…}}",
                )
            )
        else:
            return variables[name]
        return match[0]

    filled = _REFERENCE.sub(replacement, text)
    if found:
        # Two references to one unset variable are one thing to mend.
        problems.extend(dict.fromkeys(found))
        return text
    whole = _REFERENCE.fullmatch(text)
    return FromVariable(filled) if whole and whole["name"] else filled
