"""A table of predictions as a build left it that recorded less of a slice in its commits."""

from __future__ import annotations

import json
from pathlib import Path

MADE_OF = ("data:", "model:", "scored:", "mark:run_id:", "mark:model_version:")


def forget_what_it_was_made_of(table: str) -> None:
    """Leaves in a table's log what builds wrote that recorded less of a slice."""
    for path in sorted(Path(table, "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in path.read_text().splitlines()]
        kept = [
            action
            for action in actions
            if not action.get("txn", {}).get("appId", "").startswith(MADE_OF)
        ]
        path.write_text("".join(json.dumps(action) + "\n" for action in kept))
