"""Commands as hints, messages and reports print them: they run as they stand, on the pipeline as
whoever runs this one named it.

Owns how a command line is put together. Which commands and options there are, `cli` owns; a test
holds all that stand here and there against it.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchinfer.contracts import CHAMPION
from batchinfer.hints import CommandLine

# What these look at is no one pipeline's, so they take no settings of one.
_WITHOUT_SETTINGS = ("doctor", "report")


@dataclass(frozen=True)
class Asked:
    """How a pipeline was asked for.

    Attributes:
        pipeline: its name or its file, as it was given.
        env: the environment.
        settings: `A.B=VALUE` of each override.
        trains: whether the pipeline file says how `train` makes a model.
    """

    pipeline: str
    env: str = "local"
    settings: tuple[str, ...] = ()
    trains: bool = True

    @classmethod
    def of(
        cls, ref: object, env: str, overrides: Mapping[str, Any] | Sequence[str], trains: bool
    ) -> Asked:
        """From what a command or a public function was given."""
        settings = (
            tuple(f"{name}={json.dumps(value)}" for name, value in overrides.items())
            if isinstance(overrides, Mapping)
            else tuple(overrides)
        )
        return cls(str(ref), env, settings, trains)

    def command(self, name: str, *words: object) -> CommandLine:
        """The command line of one command on this pipeline, quoted for a shell.

        Args:
            words: options and their values behind the pipeline.
        """
        line: list[object] = ["batchinfer", name, "-p", self.pipeline]
        if self.env != os.environ.get("BATCHINFER_ENV", "local"):
            line += ["--env", self.env]
        if name not in _WITHOUT_SETTINGS:
            line += [part for setting in self.settings for part in ("--set", setting)]
        return CommandLine(shlex.join(str(word) for word in (*line, *words)))

    def version_command(self, alias: str = CHAMPION) -> str:
        """The command that makes a version of the pipeline's model; of a model trained elsewhere
        PATH stands for its file.

        Args:
            alias: to give to that version; empty: none.
        """
        if self.trains:
            return self.command(
                "train", *(["--alias", alias] if alias not in ("", CHAMPION) else [])
            )
        # No command yet: whoever reads it puts the file in.
        return str(
            self.command("register", "--artifact", "PATH", *(["--alias", alias] if alias else []))
        )
