"""What PyTorch compiled for a bundle: kept beside the bundles of this installation, and shipped
with the next run.

It is code for one kind of device and one PyTorch. So it is never a part of a bundle, which holds
numbers and names, nor of the registry, which others can write to: it comes from executors of a run,
and goes to those of the next. May be deleted at any time.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.pipeline.scoring.task_result import CompiledPrograms
from batchinfer.spark.sending import bundle_folder, ship_folder

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from batchinfer.contracts import ScoringHandler
    from batchinfer.models.precision import Precision

# Programs of ordinary networks take less than a megabyte, those of large ones some. A result
# carries them.
MOST_BYTES = 64 * 2**20


def ship_compiled(spark: SparkSession, bundle_cache: Path, digest: str) -> str:
    """Sends what earlier runs compiled for a bundle to every executor; the name it travels under,
    empty without any.

    Runs on: driver.
    """
    folder = _folder(bundle_cache, digest)
    found = (
        {path.name: path.read_bytes() for path in sorted(folder.glob("*.bin"))}
        if folder.is_dir()
        else {}
    )
    if not found:
        return ""
    content = hashlib.sha256(
        b"".join(name.encode() + hashlib.sha256(data).digest() for name, data in found.items())
    )
    return ship_folder(spark, folder, content.hexdigest())


def keep_compiled(
    bundle_cache: Path, run_id: str, digest: str, compiled: Iterable[CompiledPrograms]
) -> None:
    """Keeps what the tasks of a run compiled, one program for each device.

    Runs on: driver.
    """
    folder = _folder(bundle_cache, digest)
    for device, program in {
        key: data for each in compiled for key, data in each.programs.items()
    }.items():
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / _file(device)
        partial = path.with_suffix(f".{run_id}")
        partial.write_bytes(base64.b64decode(program))
        partial.replace(path)


def load_compiled(
    load: Callable[[], ScoringHandler], archive: str, device: str, precision: Precision
) -> ScoringHandler:
    """A handler whose module is compiled on its first rows, with what an earlier run compiled on
    such a device.

    Args:
        load: gives the handler as it is.
        archive: as `ship_compiled` gives it.
        device: what the device is called: see `device_key`.

    Runs on: executor.
    """
    from batchinfer.models.compiled import Compiled

    handler: Any = load()
    path = Path(bundle_folder(archive)) / _file(device) if archive else None
    return Compiled(
        handler, precision, path.read_bytes() if path is not None and path.exists() else None
    )


def device_key(device: str) -> str:
    """What a program is good for: a device as `describe_device` calls it, and this PyTorch. Runs
    on: executor.
    """
    import platform

    import torch

    return f"{device}, {platform.machine()}, PyTorch {torch.__version__}"


def newly_compiled(handler: Any, device: str) -> dict[str, str]:
    """What a process compiled itself, by device, as a task's result carries it; nothing where it
    was given it.

    Runs on: executor.
    """
    program = handler.new_cache()
    if program is None or len(program) > MOST_BYTES:
        return {}
    return {device: base64.b64encode(program).decode()}


def _folder(bundle_cache: Path, digest: str) -> Path:
    return bundle_cache.parent / "compiled" / digest[:16]


def _file(device: str) -> str:
    return hashlib.sha256(device.encode()).hexdigest()[:32] + ".bin"
