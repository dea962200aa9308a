"""Lets the tests of this folder import `json_files` and `json_reference`, which stand beside."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
