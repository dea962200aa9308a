"""Lets the tests of this folder import `log_files`, which stands beside."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
