"""The picture of docs/scale.md: how much of each limit a run takes, by its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scale_limits import Shape, limits, load_of
from benchmarks.scale_run_time import Rates

_STEPS = [10 ** (power / 4) for power in range(32, 53)]


def draw(
    path: Path,
    rates: Rates,
    shapes: Sequence[Shape],
    cases: Mapping[str, Sequence[Mapping[str, Any]]],
    hours: float,
    driver_gib: float,
) -> None:
    """One panel a shape, one line a limit; above 1 it breaks."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(shapes), figsize=(15, 6), sharey=True)
    for panel, shape in zip(panels, shapes, strict=True):
        shares: dict[str, list[float]] = {}
        for rows in _STEPS:
            for limit in limits(load_of(rates, shape, rows, hours), cases, hours, driver_gib):
                shares.setdefault(limit.name, []).append(limit.share)
        for number, (name, values) in enumerate(sorted(shares.items())):
            panel.loglog(
                _STEPS,
                values,
                label=name,
                color=f"C{number % 10}",
                linestyle="-" if number < 10 else "--",
            )
        panel.axhline(1.0, color="black", linewidth=1.5)
        panel.set(title=shape.name, xlabel="rows of one slice", ylim=(1e-4, 1e4))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("load, as a share of what is allowed")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=4, frameon=False)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, metadata={"Software": None})
    plt.close(figure)
