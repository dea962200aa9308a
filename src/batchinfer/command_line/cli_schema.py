"""`batchinfer schema`: the JSON Schema of a pipeline file, for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("schema")
@click.option(
    "--to",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it there, in place of what is there. Default: the JSON line is the schema.",
)
def schema_command(file: Path | None) -> None:
    """JSON Schema of a pipeline file, for editors: docs/pipeline-file.md says how."""

    def work() -> dict[str, Any]:
        from batchinfer.command_line.file_schema import pipeline_schema, schema_text
        from batchinfer.errors import ConfigError

        if file is None:
            return pipeline_schema()
        try:
            file.write_text(schema_text(), encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"--to: got {str(file)!r}, which cannot be written ({error.strerror}); allowed: a "
                "file in a folder that is there"
            ) from error
        return {"file": str(file.absolute())}

    from batchinfer.command import end_command

    end_command(work)
