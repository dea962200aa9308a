"""What all tests share: property tests take the time they need, and in CI always the same
examples.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from batchinfer import credentials
from batchinfer.masking.hidden_words import HiddenWords

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True)
def no_secrets_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test gives a process in a variable is no secret of the next."""
    monkeypatch.setattr(credentials, "_secrets", HiddenWords())
