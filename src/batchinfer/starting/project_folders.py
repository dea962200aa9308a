"""A project: the folder that `conf/` stands in.

Owns what a new one has. What is there already stays as it is.
"""

from __future__ import annotations

import os
from pathlib import Path

from batchinfer.errors import StorageError

_IGNORED = "# State of batchinfer: tables, models, reports.\nvar/\n"
_README = """\
# Predictions with batchinfer

Pipelines are in `conf/pipelines/`, a file each; state goes to `var/`. With one named `{name}`:

```
batchinfer train  -p {name}                # lands the data and learns from it
batchinfer score  -p {name}                # predictions of the newest landed slice
batchinfer lookup -p {name} --key {key}    # one prediction, by the columns of the key
```
"""


def make_project(folder: Path, name: str, key: str) -> list[Path]:
    """Makes the files and folders that a project lacks, and returns them.

    Args:
        name: of the pipeline that its README shows commands of.
        key: of one of its records, as `lookup` takes it.

    Runs on: driver.

    Raises:
        StorageError: one cannot be made.
    """
    made: list[Path] = []
    try:
        for place in (folder / "conf", folder / "conf" / "pipelines"):
            if not place.is_dir():
                place.mkdir(parents=True)
                made.append(place)
        for file, text in (
            (folder / ".gitignore", _IGNORED),
            (folder / "README.md", _README.format(name=name, key=key)),
        ):
            if not os.path.lexists(file):
                file.write_text(text)
                made.append(file)
    except OSError as error:
        raise StorageError(f"{error.filename} cannot be made: {error.strerror}") from error
    return made


def ignores_state(folder: Path) -> bool:
    """Whether the project's .gitignore names its state."""
    try:
        lines = (folder / ".gitignore").read_text(errors="replace").split()
    except OSError:
        return False
    return bool({"var", "var/", "/var", "/var/"} & set(lines))
