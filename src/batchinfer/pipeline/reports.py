"""`report`: finds the report of a run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from batchinfer.errors import ConfigError, InputMissing


def find_report(run_id: str, env: str) -> dict[str, Any]:
    """The JSON of a run and the path of its HTML page.

    Raises:
        ConfigError: text that is no run id.
        InputMissing: no such report.
    """
    from batchinfer.config.loader import load_state

    if not re.fullmatch(r"[A-Za-z0-9-]+", run_id):
        raise ConfigError(f"--run: got {run_id!r}; allowed: a run_id such as 20261121T021500-1f2e3d4c")
    folder = Path(load_state(env)[0].reports)
    page = folder / f"{run_id}.html"
    if not page.is_file():
        known = sorted(path.stem for path in folder.glob("*.html"))[-5:]
        raise InputMissing(f"{page}: no such report; the newest are {', '.join(known) or 'none'}")
    body = json.loads(page.with_suffix(".json").read_text())
    return {**body.get("run", body), "report": str(page)}
