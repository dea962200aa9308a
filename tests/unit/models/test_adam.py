"""The optimizer of training is PyTorch's own Adam, step for step."""

from __future__ import annotations

import subprocess
import sys

import torch

from batchinfer.models.adam import Adam


def test_the_optimizer_is_torchs() -> None:
    torch.manual_seed(0)
    start = torch.randn(5, 3)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    idle, frozen = (
        torch.nn.Parameter(torch.ones(1)),
        torch.nn.Parameter(torch.ones(1), requires_grad=False),
    )
    adam, reference = Adam([ours, idle, frozen], 0.03), torch.optim.Adam([theirs], lr=0.03)
    for _ in range(200):
        gradient = torch.randn(5, 3) * 10.0 ** torch.randint(-4, 4, (5, 3))
        for parameter, optimizer in ((ours, adam), (theirs, reference)):
            parameter.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(ours, start, atol=0.1) and idle.item() == frozen.item() == 1
    adam.clear()
    assert ours.grad is None


def test_a_step_loads_no_compiler() -> None:
    script = (
        "import sys, torch\n"
        "from batchinfer.models.adam import Adam\n"
        "weights = torch.nn.Parameter(torch.ones(2))\n"
        "optimizer = Adam([weights], 0.1)\n"
        "weights.sum().backward()\n"
        "optimizer.step()\n"
        "print(weights[0].item() < 1, 'torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]
