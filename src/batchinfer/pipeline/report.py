"""Reports of runs: where they are written, and `report`, which finds one."""

from __future__ import annotations

import json
import re
from typing import Any

from batchinfer.errors import ConfigError, InputMissing


def find_report(run_id: str, env: str, ref: str | None = None) -> dict[str, Any]:
    """The JSON of a run and the path of its HTML page.

    Args:
        ref: a pipeline of the project that the run was of; None: the project of this folder.

    Raises:
        ConfigError: text that is no run id.
        InputMissing: no such report.
    """
    from pyarrow.fs import FileSelector

    from batchinfer.config.loader import load_pipeline, load_state
    from batchinfer.lake.table_places import open_filesystem, storage_faults
    from batchinfer.object_stores import use

    if not re.fullmatch(r"[A-Za-z0-9-]+", run_id):
        raise ConfigError(
            f"--run: got {run_id!r}; allowed: a run_id such as 20261121T021500-1f2e3d4c"
        )
    environment = load_state(env)[0] if ref is None else load_pipeline(ref, (), env).environment
    use(environment.spark.conf, [environment.reports])
    filesystem, root = open_filesystem(environment.reports)
    page = f"{environment.reports.rstrip('/')}/{run_id}.html"
    with storage_faults(environment.reports, "look for reports"):
        if not filesystem.get_file_info(f"{root}/{run_id}.html").is_file:
            pages = [
                info.base_name
                for info in filesystem.get_file_info(FileSelector(root, allow_not_found=True))
            ]
            known = sorted(name.removesuffix(".html") for name in pages if name.endswith(".html"))[
                -5:
            ]
            raise InputMissing(
                f"{page}: no such report; the newest are {', '.join(known) or 'none'}"
            )
        with filesystem.open_input_file(f"{root}/{run_id}.json") as source:
            body = json.loads(source.read())
    return {**body.get("run", body), "report": page}
