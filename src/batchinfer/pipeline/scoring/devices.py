"""The device that a model runs on: which one a task owns, its name, and a bundle loaded onto it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from batchinfer.errors import ModelError
from batchinfer.spark.capacity import GPU
from batchinfer.spark.sending import bundle_folder

if TYPE_CHECKING:
    from batchinfer.contracts import ScoringHandler
    from batchinfer.inference.attempt import Runner
    from batchinfer.models.formats.artifact import Trust
    from batchinfer.models.precision import Precision


def load_shipped(archive: str, digest: str, device: str, trust: Trust = "none") -> ScoringHandler:
    """Verifies and loads the bundle that travelled with the job.

    Runs on: executor.
    """
    return load_folder(bundle_folder(archive), digest, choose_device(device, owned_gpu()), trust)


def load_folder(
    folder: str, digest: str, device: str, trust: Trust = "none", precision: Precision = "float32"
) -> ScoringHandler:
    """Verifies and loads a bundle from a folder; needs no Spark, so that a spawned child can call
    it too.

    Runs on: executor, or a child of its worker.

    Raises:
        ModelError: the bundle is not what it was, or cannot be loaded; fp16 where there is
            no GPU, int8 where there is one.
    """
    from batchinfer.models.bundle import read_bundle
    from batchinfer.models.device_layout import in_tiles

    chosen = choose_device(device)
    if precision == "fp16" and chosen == "cpu":
        # Half of PyTorch's operators are slower in it there, some are missing, and what exceeds
        # 65,504 is infinite.
        raise ModelError(
            "model.precision: got fp16, but this executor has no usable GPU; allowed there: "
            "float32, bf16"
        )
    if precision == "int8" and chosen != "cpu":
        raise ModelError(
            f"model.quantize: got int8, but this executor computes on {chosen}; allowed there: "
            "none; or device: cpu"
        )
    _turn_to(chosen)
    handler = read_bundle(folder, chosen, digest, trust, precision).handler
    return in_tiles(handler) if chosen == "cpu" else handler


def owned_gpu() -> str | None:
    """The address of the GPU that Spark gave to this task; None where it gave none.

    Runs on: executor.
    """
    from pyspark import TaskContext

    task = TaskContext.get()
    found = task.resources().get(GPU) if task is not None else None
    return found.addresses[0] if found is not None else None


def choose_device(asked: str, owned: str | None = None) -> str:
    """The device that `model.device` means on this executor: `auto` is a GPU where there is one.

    Args:
        asked: `auto`, `cpu`, `cuda`, or a device that was chosen before, such as `cuda:1`.
        owned: address of the GPU that Spark gave to the task; None: the first there is.

    Runs on: executor.

    Raises:
        ModelError: `cuda` on an executor without a usable GPU; an address that PyTorch has no
            device for.
    """
    import torch

    if asked == "cpu" or (asked == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise ModelError(
            f"model.device: got {asked}, but this executor has no usable GPU; allowed here: auto, "
            "cpu"
        )
    if asked not in ("auto", "cuda"):
        return asked
    if owned is None:
        return "cuda"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"cuda:{cuda_index(owned, visible, torch.cuda.device_count())}"


def _turn_to(device: str) -> None:
    """Makes a GPU that is named by its number, such as `cuda:1`, the one that PyTorch means by
    `cuda` in this process.
    """
    import torch

    if ":" in device:
        torch.cuda.set_device(device)


def runner_on(device: str, handler: ScoringHandler, timeout_s: float) -> Runner:
    """The way to run a handler on a device, as `choose_device` names it: a GPU computes while this
    process does the rest.

    Runs on: executor.
    """
    from batchinfer.inference.attempt import InProcess
    from batchinfer.inference.cuda import lane_of
    from batchinfer.inference.overlap import OverlapRunner
    from batchinfer.models.device_layout import takes_moved

    if device == "cpu":
        return InProcess(handler, timeout_s=timeout_s)
    _turn_to(device)
    return OverlapRunner(handler, lane_of(device), timeout_s=timeout_s, moves=takes_moved(handler))


def cuda_index(address: str, visible: str | None, count: int) -> int:
    """PyTorch's number of a GPU: its place among the visible ones, where the process may not see
    all.

    Args:
        address: as Spark's discovery script names it: the number of the GPU in its machine, or its
            UUID.
        visible: CUDA_VISIBLE_DEVICES.
        count: devices that PyTorch sees.

    Raises:
        ModelError: PyTorch has no such device.
    """
    names = (
        [name.strip() for name in visible.split(",")]
        if visible
        else [str(number) for number in range(count)]
    )
    if address not in names:
        raise ModelError(
            f"Spark gave this task the GPU {address}; PyTorch sees here: "
            f"{', '.join(names) or 'none'}. Does the discovery script name GPUs that these "
            "processes may not use?"
        )
    return names.index(address)


def describe_device(
    device: str, threads: int, precision: Precision = "float32", compile_: bool = False
) -> str:
    """What a batch size is remembered for: the kind of GPU, or a CPU with so many threads, and how
    it computes there.

    Args:
        device: as `choose_device` gives it.

    Runs on: executor.
    """
    named = f"cpu, {threads} thread{'s' * (threads > 1)}"
    if device != "cpu":
        import torch

        named = torch.cuda.get_device_name(device)
    return ", ".join(
        [
            named,
            *([precision] if precision != "float32" else []),
            *(["compiled"] if compile_ else []),
        ]
    )
