"""The card of a model trained elsewhere, as Markdown: what it is, what it is fed, what it says at
home.

Owns the wording. Knows neither registry nor bundles: it is given facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchinfer.report.model_card import CARD
from batchinfer.report.safe_text import markdown


@dataclass(frozen=True)
class RegisteredFacts:
    """What the card tells.

    Attributes:
        artifact: name and SHA-256 (hex) of the file, or the class of a handler.
        trust: what loading it needs.
        inputs, outputs: columns and their Spark SQL types, in order.
        feeds: as the handler takes them.
        comparisons: with the model's own library, and with a reference: `Comparison.to_json`.
        transforms_from: URI of the version that the fitted steps are from; empty: none are.
    """

    name: str
    pipeline: str
    description: str
    format: str
    artifact: str
    trust: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    feeds: Sequence[Mapping[str, Any]] = ()
    comparisons: Sequence[Mapping[str, Any]] = ()
    transforms_from: str = ""
    warnings: Sequence[str] = ()


def write_registered_card(facts: RegisteredFacts, folder: Path) -> str:
    """Writes `model_card.md` into a folder; returns the card's text. Runs on: driver."""
    text = registered_card_text(facts)
    (folder / CARD).write_text(text, encoding="utf-8")
    return text


def registered_card_text(facts: RegisteredFacts) -> str:
    """The card as Markdown."""
    trained = "Trained elsewhere, and registered."
    parts = [
        f"# {markdown(facts.name)}",
        markdown(facts.description) or f"Model of pipeline {facts.pipeline}.",
        "## What it is",
        "\n".join(
            [
                f"- {trained}",
                f"- format: {markdown(facts.format)}",
                f"- artefact: {markdown(facts.artifact)}",
                f"- trust that loading it needs: {facts.trust}",
                f"- input: {markdown(_typed(facts.inputs))}",
                f"- output: {markdown(_typed(facts.outputs))}",
            ]
        ),
        "## What it is fed",
        "\n".join(f"- {markdown(line)}" for line in _fed(facts))
        or "What its own code makes of the input.",
        "## What it says at home",
        _comparisons(facts.comparisons),
    ]
    if facts.warnings:
        parts += ["## Take care", "\n".join(f"- {markdown(warning)}" for warning in facts.warnings)]
    return "\n\n".join(parts) + "\n"


def _typed(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {type_}" for name, type_ in columns.items())


def _fed(facts: RegisteredFacts) -> list[str]:
    lines: list[str] = []
    for feed in facts.feeds:
        what = "what the features make" if "tensor" in feed else ", ".join(feed["columns"])
        lines.append(f"{feed['input']} ({feed['type']}): {what}")
        lines += [
            f"a missing {name} is {_word(word)}" for name, word in feed.get("words", {}).items()
        ]
        lines += [f"{name} goes over as {type_}" for name, type_ in feed.get("casts", {}).items()]
        if "missing_number" in feed:
            lines.append(
                f"{feed['missing_number']:g} counts as a missing number, as null and NaN do"
            )
        elif facts.format == "xgboost":
            lines.append(
                "null and NaN count as missing numbers: the file keeps no `missing` of a wrapper"
            )
        lines += [f"a row without {name} goes to quarantine" for name in feed.get("required", ())]
    if facts.transforms_from:
        lines.append(f"the features were fitted for {facts.transforms_from}")
    return lines


def _word(stored: Mapping[str, Any]) -> str:
    return {"none": "None", "nan": "NaN"}.get(stored["kind"], repr(stored.get("value")))


def _comparisons(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "It was not held against its own library."
    lines = [
        "| held against | rows | other labels | other numbers | largest difference | allowed |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {markdown(one['against'])} | {one['rows']:,} | {one['labels_differ']:,} | "
        f"{one['numbers_differ']:,} | {one['largest_difference']:.3g} | {one['tolerance']:.0e} |"
        for one in found
    ]
    return "\n".join(lines)
