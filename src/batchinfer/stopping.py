"""Whether this process was told to stop, by Ctrl-C or SIGTERM.

Owns the handlers of both signals. The work ends through `Interrupted`, raised in the main thread,
so that leases are released and staged files removed. Code of others may swallow it, and other
threads never see it: so the request is remembered, and `check` raises it again wherever something
would be committed or begun.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any, Final

from batchinfer.errors import Interrupted

_NAMES: Final = {signal.SIGINT: ("Ctrl-C", 130), signal.SIGTERM: ("SIGTERM", 143)}
# An import that is broken off leaves half a module, and code in C may crash: what must come to its
# end is waited for, in steps, so long at most.
_STEP_S, _STEPS = 0.02, 500
_IMPORT = "<frozen importlib"
# It tries a folder with a file of its own, which would stay.
_TRIES_FOLDER = "_get_default_tempdir"

_asked: list[int] = []
_waited: list[float] = []


def listen() -> None:
    """From now on SIGINT and SIGTERM end the work; a request that came before still stands.

    Runs on: driver, in the main thread.
    """
    for number in _NAMES:
        signal.signal(number, _hear)
    if sys.unraisablehook is not _swallowed:
        sys.unraisablehook = _swallowed


def stop_listening() -> None:
    """From now on the signals change nothing more: the command is about to say how it ended."""
    for number in (*_NAMES, signal.SIGALRM):
        if signal.getsignal(number) in (_hear, _hear_again):
            signal.signal(number, _ignore)


def asked() -> Interrupted | None:
    """What the first signal asked for, as an error; None while there was none."""
    if not _asked:
        return None
    name, code = _NAMES[signal.Signals(_asked[0])]
    return Interrupted(f"interrupted by {name}: what was committed stands, and nothing else", code)


def check() -> None:
    """Asked before each commit and between slices, in any thread.

    Raises:
        Interrupted: a signal has arrived, wherever its own error has gone.
    """
    if stopped := asked():
        raise stopped


def forget() -> None:
    """A request to stop is over; for processes that run several commands, such as tests."""
    _asked.clear()
    _waited.clear()


def _hear(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
    if logging := sys.modules.get("logging"):
        # What py4j and Spark say of the calls that now break off is no news.
        logging.disable(logging.CRITICAL)
    _raise_when_safe(frame)


def _hear_again(_number: int, frame: FrameType | None) -> None:
    _raise_when_safe(frame)


def _raise_when_safe(frame: FrameType | None) -> None:
    if len(_waited) < _STEPS and _must_end(frame):
        _waited.append(_STEP_S)
        _try_again()
        return
    check()


def _must_end(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_IMPORT) or code.co_name == _TRIES_FOLDER:
            return True
        frame = frame.f_back
    return False


def _try_again() -> None:
    signal.signal(signal.SIGALRM, _hear_again)
    signal.setitimer(signal.ITIMER_REAL, _STEP_S)


def _swallowed(unraisable: Any) -> None:
    """Raised where nothing can be raised (a finalizer, a callback of the garbage collector), the
    error would be printed and lost: it comes again a moment later.
    """
    if isinstance(unraisable.exc_value, Interrupted):
        _try_again()
    else:
        sys.__unraisablehook__(unraisable)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """A handler in place of SIG_IGN, which processes that are started from now on would inherit."""
