"""Temporary folders that are kept as long as the process: for what others read at a time of their
own.

Owns their end. A command ends without Python's own clean-up (see `command.leave`), so it asks here.
"""

from __future__ import annotations

import atexit
from pathlib import Path

_folders: list[Path] = []


def process_folder(purpose: str = "") -> Path:
    """A new folder, gone when this process ends.

    Args:
        purpose: a word in its name, for whoever finds one after a crash.
    """
    import tempfile

    if not _folders:
        atexit.register(remove_folders)
    folder = Path(tempfile.mkdtemp(prefix=f"batchinfer-{purpose}-" if purpose else "batchinfer-"))
    _folders.append(folder)
    return folder


def remove_folders() -> None:
    """Removes what `process_folder` has made in this process."""
    if not _folders:
        return
    # Every command asks, and most have made none.
    import shutil

    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)
