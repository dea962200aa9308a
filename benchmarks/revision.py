"""Which code was measured: a part of every benchmark's JSON line."""

from __future__ import annotations

import os
import shutil
import subprocess


def commit() -> str:
    """The commit's hash; where there is no git, that of the variable COMMIT."""
    if shutil.which("git") is None:
        return os.environ.get("COMMIT", "")
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return told or os.environ.get("COMMIT", "")
