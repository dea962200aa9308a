"""The model card: what a model is, what it learned from and how well it does, as Markdown with a
picture of how it learned.

Owns the wording and the layout. Knows neither registry nor bundles: it is given facts.

Source: Mitchell et al., "Model cards for model reporting" (2019), for what a card says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchinfer.report.safe_text import markdown

CARD = "model_card.md"
CURVE = "learning_curve.png"
_INTERVALS = ("_low", "_high")


@dataclass(frozen=True)
class ModelFacts:
    """What a card tells.

    Attributes:
        metrics: on the validation rows; `x_low` and `x_high` are the 95% interval of `x`,
            `baseline` the trivial model's.
        measured_against: of metrics, the trivial model that they are held against, in words.
        curve: {epoch, train_loss, valid_loss} of each epoch.
        features: columns that the matrix is made of; `width` is how many numbers a row of it has.
        integers: how many integers a row has of each integer input.
        outputs: name and Spark SQL type of each prediction column.
        rows_superseded: older copies of rows that were left out.
        validation: how the validation rows were chosen, as the end of a sentence.
    """

    name: str
    pipeline: str
    description: str
    task: str
    model: str
    params: Mapping[str, Any]
    target: str
    table: str
    version: int
    rows_train: int
    rows_validation: int
    rows_without_label: int
    validation: str
    features: Sequence[str]
    width: int
    integers: Mapping[str, int]
    outputs: Mapping[str, str]
    metrics: Mapping[str, float]
    curve: Sequence[Mapping[str, float]] = ()
    rows_superseded: int = 0
    measured_against: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = field(default_factory=list)


def write_card(facts: ModelFacts, folder: Path) -> str:
    """Writes `model_card.md` and `learning_curve.png` into a folder; returns the card's text.

    Runs on: driver.
    """
    text = card_text(facts)
    (folder / CARD).write_text(text, encoding="utf-8")
    if facts.curve:
        _draw_curve(facts, folder / CURVE)
    return text


def card_text(facts: ModelFacts) -> str:
    """The card as Markdown."""
    parts = [
        f"# {markdown(facts.name)}",
        markdown(facts.description) or f"Model of pipeline {facts.pipeline}.",
        "## What it is",
        _list(
            {
                "task": facts.task,
                "model": facts.model,
                "parameters": ", ".join(f"{name} {value}" for name, value in facts.params.items())
                or "defaults",
                "target": facts.target,
                "input": _inputs(facts),
                "output": ", ".join(f"{name} {type_}" for name, type_ in facts.outputs.items()),
            }
        ),
        "## What it learned from",
        _list(
            {
                "table": f"{facts.table}, version {facts.version}",
                "rows": f"{facts.rows_train:,} to learn from, {facts.rows_validation:,} to "
                "validate on, "
                f"{facts.rows_without_label:,} without a label left out"
                + (
                    f", {facts.rows_superseded:,} older copies left out: a newer slice has their "
                    "keys"
                    if facts.rows_superseded
                    else ""
                ),
                "validation rows": facts.validation,
            }
        ),
        "## How well it does",
        "The model itself, before the steps that come after it.",
        _metrics(facts.metrics, facts.measured_against),
        *([f"![loss by epoch]({CURVE})"] if facts.curve else []),
        *(
            ["## Take care", "\n".join(f"- {markdown(warning)}" for warning in facts.warnings)]
            if facts.warnings
            else []
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _inputs(facts: ModelFacts) -> str:
    parts = [f"{facts.width} numbers of {', '.join(facts.features)}"] if facts.features else []
    parts += [
        f"{count} integer{'s' * (count > 1)} of {name}" for name, count in facts.integers.items()
    ]
    return "; ".join(parts) or "none"


def _list(entries: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {markdown(value)}" for name, value in entries.items())


# Those whose value for the trivial model is `baseline`; of others the words say it.
_HAVE_BASELINE = ("accuracy", "rmse")


def _metrics(metrics: Mapping[str, float], against: Mapping[str, str]) -> str:
    lines = ["| metric | value | 95% interval | measured against |", "|---|---|---|---|"]
    for name, value in metrics.items():
        if name == "baseline" or name.endswith(_INTERVALS):
            continue
        bounds = [metrics.get(name + end) for end in _INTERVALS]
        interval = (
            ""
            if None in bounds
            else " to ".join(f"{bound:.4g}" for bound in bounds if bound is not None)
        )
        trivial = against.get(name, "")
        if name in _HAVE_BASELINE and "baseline" in metrics:
            trivial = f"{metrics['baseline']:.4g}" + (f" ({trivial})" if trivial else "")
        lines.append(f"| {markdown(name)} | {value:.4g} | {interval} | {markdown(trivial)} |")
    return "\n".join(lines)


def _draw_curve(facts: ModelFacts, path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    epochs = [point["epoch"] for point in facts.curve]
    for name, label in (("train_loss", "rows learned from"), ("valid_loss", "validation rows")):
        axes.plot(
            epochs, [point[name] for point in facts.curve], marker="o", markersize=3, label=label
        )
    axes.set(xlabel="epoch", ylabel="loss")
    axes.set_title(facts.name, parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    # Losses fall, so this corner is free; looking for the best one can take matplotlib a second.
    axes.legend(loc="upper right")
    figure.savefig(path, dpi=120)
