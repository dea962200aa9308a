"""Commands that stand in texts for people, and whether the command line takes them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

from batchinfer.cli import cli

_BEGINS = re.compile(r"(?:^|[\s(`'\"/:])batchinfer +(?=[a-z-])")


def commands_in(text: str) -> list[list[str]]:
    """The words of every command that a text holds: as far as they are options with their values,
    as a sentence may go on behind them.
    """
    found: list[list[str]] = []
    for match in _BEGINS.finditer(text):
        words = _words(text[match.end() :])
        name = next(words, "").strip(".,;:`)")
        command = cli.commands.get(name)
        if command is not None:
            found.append([name, *_options(command, words)])
    return found


def problem_of(words: list[str]) -> str | None:
    """What the command line says against a command; None where it takes it. Nothing is run."""
    try:
        command = cli.get_command(click.Context(cli), words[0])
        assert command is not None
        command.make_context(words[0], list(words[1:]))
    except click.UsageError as error:
        return f"batchinfer {shlex.join(words)}: {error.format_message()}"
    except click.exceptions.Exit:  # it shows its help
        return None
    return None


def _words(text: str) -> Iterator[str]:
    # What a shell fills in is a value like others.
    text = re.sub(r"\$\([^)]*\)", "x", text)
    lexer = shlex.shlex(text.replace("\n", " ; "), posix=True, punctuation_chars=";&|)`")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    while True:
        try:
            word = lexer.get_token()
        except ValueError:  # an apostrophe of the sentence behind the command
            return
        if word is None:
            return
        yield word


def _options(command: click.Command, words: Iterator[str]) -> Iterator[str]:
    takes = {
        name: not option.is_flag
        for option in command.params
        if isinstance(option, click.Option)
        for name in option.opts
    }
    for word in words:
        if not word.startswith("-"):
            return
        name = word.partition("=")[0].rstrip(".,;:")
        yield word if "=" in word else name
        if takes.get(name, False) and "=" not in word:
            yield next(words, "").rstrip(",;:")
