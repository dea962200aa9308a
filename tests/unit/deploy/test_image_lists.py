"""What the images leave out, against what the package says that it needs: a list nobody checks
grows wrong in silence.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[3]
LOCKED = set(
    re.findall(
        r"^([a-z0-9][a-z0-9.-]*)==", (CHECKOUT / "requirements.lock").read_text(), re.MULTILINE
    )
)


def listed(name: str) -> set[str]:
    lines = (CHECKOUT / "deploy" / "image" / name).read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def needed(names: set[tuple[str, str]], without: str = "") -> set[str]:
    """What installed packages require, and so on; (package, extra) each."""
    seen, waiting = set[tuple[str, str]](), list(names)
    while waiting:
        name, extra = one = waiting.pop()
        if one in seen or name == without:
            continue
        seen.add(one)
        for text in metadata.requires(name) or []:
            required = Requirement(text)
            if required.marker is None or required.marker.evaluate(
                {**default_environment(), "extra": extra}
            ):
                found = canonicalize_name(required.name)
                waiting += [(found, ""), *((found, more) for more in required.extras)]
    return {name for name, _ in seen} - {"batchinfer"}


# What a run and the service need: the package, the readers of models trained elsewhere, what tells
# collectors, online stores, HTTP.
EXTRAS = ("", "onnx", "sklearn", "observability", "stores", "serve")
RUN = {("batchinfer", extra) for extra in EXTRAS}


def test_both_images_leave_out_what_no_run_needs_and_nothing_else() -> None:
    assert listed("exclude.txt") == LOCKED - needed(RUN)


def test_the_cpu_image_leaves_out_what_only_cuda_needs() -> None:
    cuda = {
        name
        for name in needed(RUN) - needed(RUN, without="torch")
        if name.startswith(("nvidia-", "cuda-", "triton"))
    }
    assert len(cuda) > 10
    assert listed("exclude-cpu.txt") == {"torch", *cuda}
