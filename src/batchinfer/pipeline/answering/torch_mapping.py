"""PyTorch's libraries are mapped into memory before Python imports them, so that the rest of a
service goes on meanwhile: `import torch` holds the interpreter's lock for as long as the dynamic
linker works on them, a quarter of a second; a call by ctypes does not hold it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_PACKAGE = "torch"
# Needs all others that `import torch` loads.
_LIBRARY = "lib/libtorch_python.so"


class TorchMapping(MetaPathFinder):
    """Maps the libraries once, when PyTorch is imported first; finds no module itself."""

    @classmethod
    def install(cls) -> None:
        """Has this process do so."""
        sys.meta_path.insert(0, cls())

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """None: others find it."""
        if fullname == _PACKAGE:
            sys.meta_path.remove(self)
            found = PathFinder.find_spec(_PACKAGE)
            if found is not None and found.origin is not None:
                _map(Path(found.origin).parent / _LIBRARY)
        return None


def _map(library: Path) -> None:
    """What cannot be mapped, the import fails on or does without: it says so, and why."""
    if library.is_file():
        opened = ctypes.CDLL(None).dlopen
        opened.restype, opened.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
        opened(os.fsencode(library), os.RTLD_NOW | os.RTLD_LOCAL)
