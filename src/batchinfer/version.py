"""The version of this build: apart from the package's face, so that every room may name it."""

from __future__ import annotations

__version__ = "0.1.0"
