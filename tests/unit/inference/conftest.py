"""Makes the fake handlers importable by name: a child process has to import them too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
