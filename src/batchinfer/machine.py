"""What the machine under a command has: cores, memory, GPU, disk, and places that can be written.

Owns how each is found without a JVM, without importing PyTorch, and without leaving anything
behind.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_ANSWER_S = 3.0


def cores() -> int:
    """Cores that this process may use, whatever a container allows of them."""
    return len(os.sched_getaffinity(0))


def usable_cores() -> float:
    """Cores that this process may use: of the machine, of its affinity, of its container, whichever
    is least.
    """
    cores = float(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    return min(cores, int(quota) / int(period)) if quota.isdigit() and period.isdigit() else cores


def usable_memory() -> int:
    """Bytes of memory that this process may use: of the machine or of its container."""
    import psutil

    total = int(psutil.virtual_memory().total)
    limit = _read(_CGROUP / "memory.max")
    return min(total, int(limit)) if limit.isdigit() else total


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def gpu_names() -> list[str]:
    """Names of the NVIDIA GPUs that the driver shows, or an empty list.

    Raises:
        OSError: there are devices, but the driver's tool is missing, fails or does not answer.
    """
    devices = [
        path for path in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)
    ]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        if devices:
            raise OSError(f"{len(devices)} NVIDIA devices, but no nvidia-smi")
        return []
    command = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_ANSWER_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"nvidia-smi did not answer within {_ANSWER_S:g} s") from error
    if done.returncode != 0:
        if not devices:
            return []
        raise OSError(f"nvidia-smi failed: {(done.stdout + done.stderr).strip().splitlines()[:1]}")
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def torch_cuda() -> str | None:
    """CUDA version that the installed PyTorch is built for, or None for a build without; PyTorch is
    not imported.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    match = re.search(
        r"^cuda\b[^=]*=\s*'([^']+)'", _read(Path(spec.origin).with_name("version.py")), re.MULTILINE
    )
    return match[1] if match else None


def existing_parent(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def free_bytes(path: Path) -> int:
    """Bytes that a user may still write where the path is, or would be."""
    return shutil.disk_usage(existing_parent(path)).free


def probe_folder(path: Path) -> None:
    """Returns if files can be written into the folder, or if it could be made; leaves nothing
    behind.

    Raises:
        OSError: a file stands in its way, no permission, a full or read-only disk.
    """
    folder = existing_parent(path)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; allowed: a folder")
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-") as file:
        file.write(b"\0" * 4096)
        file.flush()
        os.fsync(file.fileno())


def own_address() -> str | None:
    """Address of this machine's own name, or None where it has none or nobody answers in time."""
    found: list[str] = []

    def ask() -> None:
        try:
            found.append(socket.gethostbyname(socket.gethostname()))
        except OSError:
            return

    # A dead name server can hold the caller far longer than anyone waits for a check.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_ANSWER_S)
    return found[0] if found else None
