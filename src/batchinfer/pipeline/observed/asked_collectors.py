"""Whether the collectors that an environment names could be told anything now. Sends nothing."""

from __future__ import annotations

import os
from pathlib import Path

from batchinfer.config.environment import Environment
from batchinfer.config.shapes.collector_settings import Observability
from batchinfer.observability.collectors import find_collectors, why_unreachable

_ROOM = "observability."
_ANSWERS_S = 2.0
_GOES_ON = "; runs go on, and say so"


def named_collectors(environment: Environment) -> list[str]:
    """The settings of the collectors that an environment names, such as `observability.otlp`."""
    return [_ROOM + name for name, one in environment.observability if one is not None]


def ask_collector(environment: Environment, name: str) -> tuple[str, str | None]:
    """(what was found, what to do where a run could not tell it anything).

    Args:
        name: of `named_collectors`.

    Runs on: driver.

    Raises:
        ConfigError, SetupError: with this setting, commands end before their work.
    """
    setting = name.removeprefix(_ROOM)
    only = Observability.model_validate({setting: getattr(environment.observability, setting)})
    found = find_collectors(only, "in use", os.environ)
    if found.folder is not None:
        return _ask_folder(found.folder)
    collector = found.otlp or found.openlineage
    assert collector is not None, "one of the three is named"
    reason = why_unreachable(collector, _ANSWERS_S)
    if reason is None:
        return "takes connections", None
    hint = "ask whether that server runs, and whether this machine reaches it"
    return f"no connection: {reason}{_GOES_ON}", hint


def _ask_folder(folder: Path) -> tuple[str, str | None]:
    if not os.path.isdir(folder):
        return f"{folder} is no folder{_GOES_ON}", f"mkdir -p {folder}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{folder} cannot be written{_GOES_ON}", f"ls -ld {folder}"
    return str(folder), None
