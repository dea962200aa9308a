"""What deltalake says of a table that it cannot read or write, in words.

Owns the patterns. Its own texts name Rust's types and values, and change from version to version:
one that is not known here is shown without those.
"""

from __future__ import annotations

import re

# What helps, where the log is damaged.
RESTORE_LOG = "put the files of its _delta_log back from a copy of the table"
_READABLE = "read it with the engine that wrote it, or write it without that feature"
_KNOWN: tuple[tuple[str, str, str | None], ...] = (
    (
        r"found gap: .*?version: (?P<before>\d+).*?-> .*?version: (?P<after>\d+)",
        "its log has a gap: commits between {before} and {after} are missing",
        RESTORE_LOG,
    ),
    (r"found gap", "its log has a gap: commits are missing", RESTORE_LOG),
    (r"Json error", "a commit file of its log is damaged: it is no JSON", RESTORE_LOG),
    (
        r"No table metadata or protocol found|No metadata|No protocol",
        "its log does not say what the table is: its first commits are missing",
        RESTORE_LOG,
    ),
    (r"No files in log segment", "its log holds no commit", RESTORE_LOG),
    (
        r"Invalid Checkpoint|find any checkpoints",
        "the checkpoint that its log names is missing",
        RESTORE_LOG,
    ),
    (
        r"Invalid Parquet file|Corrupt footer|Parquet error",
        "a checkpoint of its log, or a file that it reads, is damaged: it is no whole Parquet file",
        RESTORE_LOG,
    ),
    (
        r"Feature '?(?P<feature>[\w.-]+)'? is not supported",
        "it needs the feature {feature} of Delta, which is not known here",
        _READABLE,
    ),
    (
        r"Unsupported minimum (?P<what>reader|writer) version (?P<version>\d+)",
        "it needs version {version} of Delta's {what} protocol, which is not known here",
        _READABLE,
    ),
    (
        r"Unsupported Delta table type: '(?P<type>[^']+)'",
        "it has a column of the type {type}, which is not known here",
        _READABLE,
    ),
    (
        r"Kernel error: (?:Arrow error|Schema error|Invalid argument error|missing field|unknown "
        r"variant)",
        "a file of its log is damaged: what it holds is no action of Delta",
        RESTORE_LOG,
    ),
    (
        r"end version (?P<newest>\d+) not the same as the specified end version",
        "its newest version is {newest}",
        None,
    ),
    (r"does not exist or you don't have access|Path does not exist", "no such folder", None),
    (
        r"[Cc]oncurrent|[Cc]onflict|already exists",
        "another writer committed at the same moment",
        "run the command again",
    ),
)
_SYSTEM = re.compile(r'Os \{ code: \d+, kind: \w+, message: "(?P<message>[^"]+)" \}')
# What its file systems say: each layer, and at last the system.
_CHAIN = re.compile(r".* ↳ (?P<message>.+?)(?: \(os error \d+\))?", re.DOTALL)
_LAYERS = re.compile(
    r"^(?:(?:Kernel error|Generic delta kernel error|Generic DeltaTable error|Generic error|"
    r"Generic \w+ error|Arrow error|Schema error|Unsupported|External error|Object store error|"
    r"Object at location [^ ]+ [a-z ]+|Failed to [a-z ]+|Unable to [a-z ]+|DeltaError|"
    r"_?internal\.\w+Error|Transaction failed): *)+"
)
# A value of Rust, with those inside of it.
_VALUE = re.compile(r"\b[A-Z]\w+ \{[^{}]*\}")


def delta_words(text: str) -> tuple[str, str | None]:
    """What is wrong, and what helps; None where nothing is known to.

    Args:
        text: of an error of deltalake or of its file systems, on one line.
    """
    if system := _SYSTEM.search(text):
        return system["message"], None
    if chain := _CHAIN.fullmatch(text):
        return chain["message"], None
    for pattern, words, hint in _KNOWN:
        if found := re.search(pattern, text):
            return words.format(**found.groupdict()), hint
    rest, before = text, None
    while rest != before:
        rest, before = _VALUE.sub("…", rest), rest
    return _LAYERS.sub("", rest) or text, None
