"""A line of JSON on standard error for each request, written by a thread: whoever reads it slowly
keeps no request waiting.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

_EVERY_S = 0.1
# Lines that wait to be written; more are counted, and dropped.
_MOST_WAITING = 20_000
# A pipe takes so many bytes in one piece, so that lines of several workers stay apart.
_PIECE = 4_096


class AccessLog:
    """Lines of one worker."""

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._dropped = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def write(self, line: Mapping[str, Any]) -> None:
        """Puts one request's line down."""
        if len(self._waiting) >= _MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append(line)

    def close(self) -> None:
        """Writes what waits, within a second."""
        self._ended.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._waiting.append({"lines_dropped": dropped})
        piece = b""
        while self._waiting:
            line = json.dumps(self._waiting.popleft(), separators=(",", ":")).encode() + b"\n"
            if len(piece) + len(line) > _PIECE:
                self._out(piece)
                piece = b""
            piece += line
        self._out(piece)

    def _out(self, piece: bytes) -> None:
        try:
            while piece:
                piece = piece[os.write(self._descriptor, piece) :]
        except OSError:
            # Nobody reads it any more, or its disk is full: requests are answered all the same.
            self._dropped += piece.count(b"\n")
