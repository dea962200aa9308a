"""Lets the tests of this folder import `csv_files` and `csv_reference`, which stand beside."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
