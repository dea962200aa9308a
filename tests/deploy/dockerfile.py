"""Reads deploy/Dockerfile, and runs the steps of its builder in a bare folder in place of an image.

What needs an image is not run but checked, and listed here: the base's system packages, the user,
the last stage's settings.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
DOCKERFILE = CHECKOUT / "deploy" / "Dockerfile"
HOME = "/opt/batchinfer"
# Instructions that would change the machine; the test says what they may be.
NOT_RUN = ("apt-get", "useradd")
# What a machine may need to reach a package index at all.
NETWORK = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_", "CURL_CA_", "JAVA_TOOL_OPTIONS")


@dataclass
class Stage:
    """What stands behind one FROM."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [text for word, text in self.steps if word == instruction]


def read_stages(text: str) -> tuple[dict[str, str], list[Stage]]:
    """(arguments before the first FROM, stages)."""
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    arguments, stages = dict[str, str](), list[Stage]()
    for line in joined.splitlines():
        word, rest = line.split(None, 1)
        assert word in {"ARG", "FROM", "RUN", "COPY", "WORKDIR", "ENV", "USER", "ENTRYPOINT"}, line
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(name, base))
        elif stages:
            stages[-1].steps.append((word, rest))
        else:
            name, _, value = rest.partition("=")
            arguments[name] = value
    return arguments, stages


def settings(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in shlex.split(text))


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the checkout from the builder; the last pattern that
    fits decides.
    """
    import fnmatch

    verdict = False
    for pattern in (CHECKOUT / ".dockerignore").read_text().splitlines():
        if not pattern or pattern.startswith("#"):
            continue
        bare = pattern.lstrip("!")
        names = bare.removeprefix("**/")
        parts = Path(path).parts
        fits = any(
            fnmatch.fnmatch(part, names)
            for part in (parts if bare.startswith("**/") else parts[:1])
        )
        verdict = (pattern[0] != "!") if fits else verdict
    return verdict


def context_files() -> list[str]:
    """Files that the builder is sent: those of the checkout that git would keep, and .dockerignore
    lets through.
    """
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return [
        path
        for path in done.stdout.splitlines()
        if not ignored(path) and (CHECKOUT / path).is_file()
    ]


@dataclass
class Image:
    """A folder in the image's place."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "batchinfer"

    def inside(self, text: str) -> str:
        """The same text, with the folders of the image below this one."""
        return text.replace(HOME, str(self.home)).replace("/opt/uv", str(self.root / "uv"))

    def environment(self, path: str = "") -> dict[str, str]:
        """A bare one: Python, Java, the system's commands, and what uv and Maven need to find
        packages.
        """
        java = shutil.which("java")
        assert java, "java is not on PATH"
        bare = f"{Path(sys.base_prefix) / 'bin'}:{Path(java).resolve().parent}:/usr/bin:/bin"
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(NETWORK) or "proxy" in name.lower()
        }
        own = {
            "PATH": (f"{path}:" if path else "") + bare,
            "HOME": os.environ["HOME"],
            "LANG": "C.UTF-8",
        }
        return {**kept, **own}

    def build(self, stage: Stage, until: str = "", **arguments: str) -> None:
        """Runs ARG, ENV, WORKDIR, COPY and RUN of a stage in order, to its end or to the RUN that
        begins with a text.
        """
        environment, folder = self.environment(), self.root
        for word, text in stage.steps:
            if word == "ARG":
                name, _, value = text.partition("=")
                environment[name] = arguments.get(name, value)
            elif word == "ENV":
                for name, value in settings(self.inside(text)).items():
                    environment[name] = value.replace("$PATH", environment["PATH"])
            elif word == "WORKDIR":
                folder = Path(self.inside(text))
                folder.mkdir(parents=True)
            elif word == "COPY":
                self._copy(shlex.split(text), folder)
            elif word == "RUN":
                assert not any(command in text for command in NOT_RUN), text
                command = ["/bin/sh", "-ec", self.inside(text)]
                done = subprocess.run(
                    command,
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, f"RUN {text}\n{done.stdout}{done.stderr}"
                if until and text.startswith(until):
                    return

    def _copy(self, parts: list[str], folder: Path) -> None:
        *sources, target = parts
        files = context_files()
        for source in sources:
            chosen = [path for path in files if path == source or path.startswith(f"{source}/")]
            assert chosen, f"COPY {source}: nothing of it gets through .dockerignore"
            for path in chosen:
                # COPY puts a file into a folder that ends in /, else at that very path; of a
                # folder, what is inside.
                inside = (
                    Path(path).relative_to(source)
                    if path != source
                    else Path(Path(path).name if target[-1] == "/" else "")
                )
                place = folder / target / inside
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(CHECKOUT / path, place)


def entrypoint(stage: Stage) -> list[str]:
    [text] = stage.all("ENTRYPOINT")
    return json.loads(text)
