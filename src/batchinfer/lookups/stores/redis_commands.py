"""Commands that write rows, as Redis' protocol has them: one row a command, so that a cluster takes
each where its slot is.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchinfer.lookups.stores.streamed_rows import stamp

# Sets the pointer if it still is the one that was read.
SET_POINTER = """
local now = redis.call('GET', KEYS[1])
if (now or '') == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) return 1 end
return 0
"""
# Of streamed rows: each says its commit before its value, so texts tell which row is newer.
_PUT_NEWER = b"""
if redis.call('GETRANGE', KEYS[1], 0, 18) >= string.sub(ARGV[1], 1, 19) then return 0 end
redis.call('SET', KEYS[1], unpack(ARGV)) return 1
"""
_REMOVE_OLDER = b"""
if redis.call('GETRANGE', KEYS[1], 0, 18) > ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])
"""


def set_commands(names: Sequence[bytes], values: Sequence[bytes], ttl_s: int | None) -> list[bytes]:
    """Commands that set rows, whatever is there."""
    if ttl_s is None:
        return [
            b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(name), name, len(value), value)
            for name, value in zip(names, values, strict=True)
        ]
    ttl = str(ttl_s).encode()
    end = b"$2\r\nEX\r\n$%d\r\n%b\r\n" % (len(ttl), ttl)
    return [
        b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n%b"
        % (len(name), name, len(value), value, end)
        for name, value in zip(names, values, strict=True)
    ]


def newer_commands(
    names: Sequence[bytes], values: Sequence[bytes], commit: int, ttl_s: int | None
) -> list[bytes]:
    """Commands that set streamed rows where older ones are, or none; answered by 1 if they did."""
    expires = () if ttl_s is None else (b"EX", b"%d" % ttl_s)
    return [
        _command(b"EVAL", _PUT_NEWER, b"1", name, stamp(commit) + value, *expires)
        for name, value in zip(names, values, strict=True)
    ]


def remove_commands(names: Sequence[bytes], floor: int) -> list[bytes]:
    """Commands that remove streamed rows of commits up to one."""
    return [_command(b"EVAL", _REMOVE_OLDER, b"1", name, stamp(floor)) for name in names]


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%b\r\n" % (len(word), word) for word in words
    )
