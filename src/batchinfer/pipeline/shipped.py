"""The bundle as it travelled with the job, and the device that it is loaded onto: the executor's side of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchinfer.errors import ModelError

if TYPE_CHECKING:
    from batchinfer.contracts import Handler
    from batchinfer.models.formats.artifact import Trust


def bundle_folder(archive: str) -> str:
    """Where this executor has the bundle; unpacked once by Spark."""
    from pyspark import SparkFiles

    return SparkFiles.get(archive)


def load_shipped(archive: str, digest: str, device: str, trust: Trust = "none") -> Handler:
    """Verifies and loads the bundle that travelled with the job.

    Runs on: executor.
    """
    return load_folder(bundle_folder(archive), digest, device, trust)


def load_folder(folder: str, digest: str, device: str, trust: Trust = "none") -> Handler:
    """Verifies and loads a bundle from a folder; needs no Spark, so that a spawned child can call it too.

    Runs on: executor, or a child of its worker.
    """
    from batchinfer.models.bundle import read_bundle

    return read_bundle(folder, device=choose_device(device), expected_digest=digest, trust=trust).handler


def choose_device(asked: str) -> str:
    """The device that `model.device` means on this executor: `auto` is a GPU where there is one.

    Runs on: executor.

    Raises:
        ModelError: `cuda` on an executor without a usable GPU.
    """
    import torch

    if asked == "cpu" or (asked == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise ModelError("model.device: got cuda, but this executor has no usable GPU; allowed here: auto, cpu")
    return "cuda"


def describe_device(asked: str, threads: int) -> str:
    """What a batch size is remembered for: the kind of GPU, or a CPU with so many threads. Runs on: executor."""
    device = choose_device(asked)
    if device == "cpu":
        return f"cpu, {threads} thread{'s' * (threads > 1)}"
    import torch

    return torch.cuda.get_device_name()
