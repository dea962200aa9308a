"""The SQL of a `filter`, as far as it can be judged without Spark.

Owns a reader of words: unbalanced quotes and parentheses, words that are no column, functions whose
answer changes from run to run. What it does not know it lets pass: Spark itself judges the rest
before any row is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from batchinfer.config.suggestions import among

_TOKEN = re.compile(
    r"""\s+|(?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")|`(?P<quoted>(?:[^`]|``)+)`|(?P<word>[^\W\d]\w*)"""
    r"""|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?\w*|\.\d+|(?P<sign>[^\w\s'"`])""",
    re.DOTALL,
)
# Words that SQL has in an expression, besides functions, which have a parenthesis behind them.
_WORDS = frozenset({
    "and", "or", "not", "in", "is", "null", "true", "false", "between", "like", "ilike", "rlike",
    "regexp", "similar",
    "escape", "case", "when", "then", "else", "end", "cast", "as", "div", "mod", "distinct",
    "from", "interval", "date",
    "timestamp", "timestamp_ntz", "timestamp_ltz", "extract", "any", "all", "some", "exists",
    "unknown", "at", "time", "zone",
    "for", "year", "years", "month", "months", "week", "weeks", "day", "days", "hour", "hours",
    "minute", "minutes", "second",
    "seconds", "millisecond", "milliseconds", "microsecond", "microseconds", "quarter", "dow",
    "doy", "to", "both", "leading",
    "trailing", "string", "int", "integer", "bigint", "long", "smallint", "short", "tinyint",
    "byte", "double", "float",
    "real", "boolean", "binary", "decimal", "dec", "numeric", "array", "map", "struct", "varchar",
    "char", "collate",
})  # fmt: skip
_CHANGING = frozenset({
    "rand", "random", "randn", "uuid", "shuffle", "now", "current_date", "current_timestamp",
    "current_time", "curdate",
    "localtimestamp", "monotonically_increasing_id", "spark_partition_id", "input_file_name",
    "input_file_block_start", "input_file_block_length",
})  # fmt: skip


def rule_words(rule: str) -> list[str]:
    """The words of a rule that may be columns; none of a rule that cannot be read."""
    return [word for word, is_function, quoted in _read(rule)[0] if quoted or not is_function]


def rule_faults(rule: str, columns: Collection[str]) -> list[str]:
    """What is wrong with a rule, as sentences' ends that follow `got …`; no columns: only what
    needs none.

    Runs on: driver.
    """
    words, faults = _read(rule)
    if faults:
        return faults
    known = {name.lower() for name in columns}
    if (
        any(word.lower() == "select" and not quoted for word, _, quoted in words)
        and "select" not in known
    ):
        return [
            f"got {rule!r}, with a query inside; allowed: an expression of the row's own columns"
        ]
    # The arguments of a lambda are names of its own.
    free = [] if "->" in rule else rule_words(rule)
    unknown = dict.fromkeys(
        word
        for word in free
        if word.lower() not in known | _WORDS and word.lower() not in _CHANGING
    )
    faults = (
        [f"no such column at this step: {among(word, columns)}" for word in unknown]
        if columns
        else []
    )
    changing = dict.fromkeys(
        word
        for word, _, quoted in words
        if not quoted and word.lower() in _CHANGING and word.lower() not in known
    )
    return faults + [
        f"got {word}, whose answer is another one in every run; allowed: functions of the row's "
        "own columns"
        for word in changing
    ]


def _read(rule: str) -> tuple[list[tuple[str, bool, bool]], list[str]]:
    """(word, whether it is a function, whether it is quoted) of each word that may be a column; or
    what cannot be read.
    """
    words: list[tuple[str, bool, bool]] = []
    at, open_, after_dot = 0, 0, False
    while at < len(rule):
        match = _TOKEN.match(rule, at)
        if match is None:
            return [], [
                f"got {rule!r}, in which {rule[at : at + 20]!r} cannot be read; allowed: a boolean "
                "SQL expression"
            ]
        at = match.end()
        sign, word = match["sign"], match["word"] or match["quoted"]
        open_ += {"(": 1, ")": -1}.get(sign or "", 0)
        if open_ < 0:
            break
        if word is not None and not after_dot:
            words.append(
                (
                    word.replace("``", "`"),
                    rule[at:].lstrip().startswith("("),
                    match["quoted"] is not None,
                )
            )
        after_dot = sign == "." if match.lastgroup is not None else after_dot
    if open_:
        return [], [
            f"got {rule!r}, whose parentheses do not match; allowed: a boolean SQL expression"
        ]
    if not rule.strip():
        return [], ["got an empty text; allowed: a boolean SQL expression, such as speed <= 200"]
    return words, []
