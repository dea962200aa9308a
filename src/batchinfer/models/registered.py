"""What a registry knows of a model: versions, aliases, and who held an alias before.

Owns the tags in which that stands, and the sentences about what is not there. Knows no way to read
or to change it: see `registry_reading` and `registry`.
"""

from __future__ import annotations

import datetime
import getpass
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchinfer.config.suggestions import did_you_mean, listed
from batchinfer.contracts import CHAMPION
from batchinfer.errors import ModelError
from batchinfer.hinted_commands import Asked
from batchinfer.hints import Hint

DIGEST_TAG = "batchinfer.digest"
METRICS_TAG = "batchinfer.metrics"
# How the artefact of a version is asked, see `formats.catalogue.READING`; absent: 1.
READING_TAG = "batchinfer.reading"
# On the registered model, one an alias: a JSON list of the versions that held it before, newest
# last.
HISTORY_TAG = "batchinfer.history."
# The same: a JSON list of how it moved, newest last. What `rollback` goes by is the history; this
# is for people.
MOVES_TAG = "batchinfer.moves."
# The longest value of a tag that MLflow takes.
_TAG_LENGTH = 5000


def alias_move(action: str, former: str | None, version: str) -> dict[str, str]:
    """The record of one move of an alias: when, what, from which version to which, and the user of
    this process.

    Runs on: driver.
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        user = str(os.getuid())
    now = datetime.datetime.now(tz=datetime.timezone.utc).isoformat(timespec="seconds")
    return {
        "at": now,
        "action": action,
        "from": former or "",
        "to": version,
        "by": f"{user}@{socket.gethostname()}",
    }


def metrics_tag(metrics: Mapping[str, float]) -> str:
    """Metrics as JSON; of more than a tag holds, the first ones. The run has them all."""
    kept = dict(metrics)
    while len(json.dumps(kept)) > _TAG_LENGTH:
        kept.popitem()
    return json.dumps(kept)


def moves_tag(moves: Sequence[Mapping[str, str]]) -> str:
    """Moves as JSON; of more than a tag holds, the last ones."""
    kept = list(moves)
    while len(json.dumps(kept)) > _TAG_LENGTH:
        del kept[0]
    return json.dumps(kept)


@dataclass(frozen=True)
class Version:
    """One version of a registered model; `created` in milliseconds since 1970, UTC."""

    name: str
    version: str
    source: str
    created: int
    tags: dict[str, str] = field(default_factory=dict)


def version_words(asked: Asked | None, alias: str = CHAMPION) -> str:
    """What makes a version of a model, as a hint says it.

    Args:
        asked: how its pipeline was asked for; None: by nobody.
        alias: to give to that version.
    """
    if asked is None:
        return "train makes a version, and register takes one from elsewhere"
    elsewhere = "" if asked.trains else " of a model trained elsewhere"
    return Hint(asked.version_command(alias), f" makes a version{elsewhere}")


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model: its versions in order, and the version of each alias.

    Attributes:
        asked: how the pipeline was asked for that wants it; None: by nobody.
    """

    name: str
    versions: tuple[Version, ...]
    aliases: dict[str, str]
    tags: dict[str, str] = field(default_factory=dict)
    asked: Asked | None = None

    def digest_of(self, version: Version) -> str:
        """SHA-256 (hex) of the manifest of a version's bundle.

        Raises:
            ModelError: somebody else registered this version; it is no bundle.
        """
        if DIGEST_TAG in version.tags:
            return version.tags[DIGEST_TAG]
        uri = f"models:/{self.name}/{version.version}"
        register = self.asked.command("register", "--artifact", uri) if self.asked else "register"
        raise ModelError(
            f"{uri} is not a batchinfer bundle: it has no tag {DIGEST_TAG}",
            Hint(register, " makes a bundle of a model trained elsewhere"),
        )

    def at(self, number: str) -> Version:
        """The version of that number.

        Raises:
            ModelError: there is none; lists those there are.
        """
        for version in self.versions:
            if version.version == str(number):
                return version
        raise ModelError(
            f"model {self.name!r} has no version {number}; versions: "
            f"{listed(version.version for version in self.versions)}",
            Hint(version_words(self.asked), "; ", self._listing()),
        )

    def holder(self, alias: str) -> str:
        """The number of the version that the alias stands for.

        Raises:
            ModelError: there is no such alias; lists those there are.
        """
        if alias in self.aliases:
            return self.aliases[alias]
        known = listed(
            (f"{name} -> {version}" for name, version in sorted(self.aliases.items())), none="none"
        )
        raise ModelError(
            f"model {self.name!r} has no alias {alias!r}{did_you_mean(alias, self.aliases)}; "
            f"aliases: {known}",
            Hint(version_words(self.asked, alias), "; ", self._promoting()),
        )

    def _listing(self) -> str:
        listing = self.asked.command("models") if self.asked else "models"
        return Hint(listing, " lists the versions there are")

    def _promoting(self) -> str:
        newest = self.versions[-1].version
        promoting = (
            self.asked.command("models", "--promote", newest)
            if self.asked
            else (f"models --promote {newest}")
        )
        return Hint(promoting, " gives it to the newest version there is")

    def history(self, alias: str) -> list[str]:
        """Numbers of the versions that held the alias before, newest last.

        Raises:
            ModelError: somebody else wrote something else into the tag.
        """
        try:
            return [
                str(version) for version in json.loads(self.tags.get(HISTORY_TAG + alias, "[]"))
            ]
        except (ValueError, TypeError) as error:
            raise ModelError(
                f"the tag {HISTORY_TAG + alias} of model {self.name!r} is not a JSON list: {error}"
            ) from error

    def moves(self, alias: str) -> list[dict[str, str]]:
        """How the alias moved, oldest first, as far as it was recorded: see `alias_move`."""
        try:
            found = json.loads(self.tags.get(MOVES_TAG + alias, "[]"))
        except ValueError:  # somebody else's text: it decides nothing, so it stops nothing
            return []
        return [move for move in found if isinstance(move, dict)] if isinstance(found, list) else []

    def describe(self, version: Version) -> dict[str, Any]:
        """A version as people and JSON see it."""
        created = datetime.datetime.fromtimestamp(version.created / 1000, tz=datetime.timezone.utc)
        return {
            "version": version.version,
            "aliases": sorted(
                alias for alias, holder in self.aliases.items() if holder == version.version
            ),
            "metrics": json.loads(version.tags.get(METRICS_TAG, "{}")),
            "created": created.isoformat(timespec="seconds"),
            "digest": version.tags.get(DIGEST_TAG),
            "tags": {
                name: value
                for name, value in version.tags.items()
                if name not in (DIGEST_TAG, METRICS_TAG)
            },
        }
