"""Makes the shared cases importable by the tests of this folder: pytest's importlib mode leaves
their folder off the path.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
