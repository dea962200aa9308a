"""Sends to the executors of a session what a run needs: a bundle, modules of the user's, the
package.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from batchinfer.scratch import process_folder
from batchinfer.spark.shipping import (
    MODULES,
    PACKAGE,
    folder_zip,
    is_local,
    modules_zip,
    package_zip,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def ship_folder(spark: SparkSession, folder: Path, digest: str) -> str:
    """Sends a bundle's folder to every executor, once a session; returns the name that they find it
    under.
    """
    name = f"bundle-{digest[:16]}"
    if name in _shipped(spark):
        return name
    # Packed anew from the bundle that was just verified: an old archive could be damaged, and
    # nobody would look at it.
    packed = folder_zip(folder, process_folder() / f"{name}.zip")
    # Spark unpacks an archive once in each executor, under the name after the hash.
    spark.sparkContext.addArchive(f"{packed}#{name}")
    return name


def ship_modules(spark: SparkSession, root: Path) -> None:
    """Sends a user's own modules beside `conf/` to executors that cannot see that folder, once a
    session.
    """
    context = spark.sparkContext
    if is_local(context.master) or any(file.endswith(f"/{MODULES}") for file in context.listFiles):
        return
    if packed := modules_zip(root, process_folder()):
        context.addPyFile(str(packed))


def ship_package(spark: SparkSession, folder: Path) -> None:
    """Sends this package to the executors of a session that something else has built, once a
    session.

    Args:
        folder: where packed things are kept.
    """
    context = spark.sparkContext
    if not is_local(context.master) and not any(
        file.endswith(f"/{PACKAGE}") for file in context.listFiles
    ):
        context.addPyFile(str(package_zip(folder)))


def _shipped(spark: SparkSession) -> set[str]:
    return {archive.rpartition("#")[2] for archive in spark.sparkContext.listArchives}


def bundle_folder(archive: str) -> str:
    """Where this executor has the bundle; unpacked once by Spark."""
    from pyspark import SparkFiles

    return SparkFiles.get(archive)
