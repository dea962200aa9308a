"""A classifier that numbers its classes, whose names stand beside it.

Owns that one step. Knows no library.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer.models.elsewhere.as_fitted import AsFittedClasses
from batchinfer.models.formats.artifact import Classified


# fmt: off
class NamedClasses(AsFittedClasses):
    """As `AsFittedClasses`, of a model whose own labels are the places of `labels`: "0", "1" …"""

    def decode(self, output: Any) -> dict[str, pa.Array]:
        """The columns that `output` declares. Runs on: executor, CPU."""
        names = np.array(self.labels, object)
        return super().decode(Classified(names[output.labels.astype(np.intp)], output.scores))
# fmt: on
