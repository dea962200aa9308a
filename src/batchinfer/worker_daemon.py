"""What Spark starts in place of its own daemon: PySpark's, from the installed package and not from
Spark's archives.

Spark puts `pyspark.zip`, Py4J's archive and its own jar first on the path of Python workers. From
there every module is compiled anew in each daemon, and every task reads the archives' directories
again, because a worker clears its import caches between tasks: a third of a second a task on a
small machine. What is installed beside this package is the same, with byte code.

Owns the path of the workers, and nothing else. Set by `session.session_conf` as
`spark.python.daemon.module`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder

_SPARKS_OWN = re.compile(r"(^|/)(pyspark\.zip|py4j-[^/]*\.zip|spark-core_[^/]*\.jar)/?$")


def without_archives(path: Sequence[str]) -> list[str]:
    """The import path without Spark's own archives, if PySpark is found on the rest of it; else as
    it is.
    """
    rest = [place for place in path if not _SPARKS_OWN.search(place)]
    found = all(PathFinder.find_spec(package, rest) is not None for package in ("pyspark", "py4j"))
    return rest if found else list(path)


if __name__ == "__main__":
    sys.path[:] = without_archives(sys.path)
    # What this cache still knew would be read again too.
    sys.path_importer_cache.clear()
    from pyspark.daemon import manager

    manager()
