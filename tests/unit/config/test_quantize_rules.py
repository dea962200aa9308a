"""`model.quantize: int8` stands beside nothing that it would not go with."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import GOOD

Problems = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("beside", "sentence"),
    [
        ("precision: bf16", "beside precision: 'bf16'; allowed there: 'float32'"),
        ("device: cuda", "beside device: 'cuda'; allowed there: 'auto', 'cpu'"),
        ("compile: true", "beside compile: true; allowed there: false"),
    ],
)
def test_what_int8_does_not_go_with(problems: Problems, beside: str, sentence: str) -> None:
    (found,) = problems(GOOD.replace("model:", f"model:\n  quantize: int8\n  {beside}", 1))
    assert f"(model.quantize): got int8 {sentence}" in found
    assert problems(GOOD.replace("model:", f"model:\n  quantize: none\n  {beside}", 1)) == []


@pytest.mark.parametrize("beside", ["precision: float32", "device: cpu", "compile: false"])
def test_what_int8_goes_with(problems: Problems, beside: str) -> None:
    assert problems(GOOD.replace("model:", f"model:\n  quantize: int8\n  {beside}", 1)) == []
