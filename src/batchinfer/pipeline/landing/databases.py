"""A database, asked through Spark's own JDBC reader: its columns, single answers, and rows on their
way to workers.

Owns connections' settings and what becomes of a driver's errors: their class, and that they show no
secret.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchinfer.config.suggestions import did_you_mean
from batchinfer.errors import BatchInferError, ConfigError, InputError, StorageError
from batchinfer.sources.databases.addresses import Address
from batchinfer.sources.databases.sql_dialects import DatabaseColumn, SqlDialect, dialect_of
from batchinfer.spark.jvm import java_causes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Seconds for drivers that have no setting of their own.
_LOGIN_TIMEOUT_S = 10
# SQL states (their first characters) of a server that cannot be reached, is starting, is full or
# ended the connection.
_UNREACHABLE = ("08", "57P", "53", "58", "XX000")
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_PROTOCOL")
_REFUSED = ("28", "3D000")
_NO_TABLE = ("42P01", "42S02")


@dataclass(frozen=True)
class Database:
    """A database that is read; `name` is what is read of it, in messages."""

    spark: SparkSession
    address: Address
    name: str
    url_env: str
    fetch_size: int

    @property
    def dialect(self) -> SqlDialect:
        return dialect_of(self.address.product)

    def columns(self, relation: str) -> list[DatabaseColumn]:
        """The columns of a relation, in its order.

        Raises:
            InputError: it cannot be read: no such table or column, a syntax error, two columns of
                one name.
            StorageError: the database cannot be reached.
            ConfigError: no driver.
        """
        with self._faults():
            schema = self._frame(f"(select * from {relation}) batchinfer_rows", (), "").schema
        return [
            DatabaseColumn(
                field.name,
                str(field.metadata.get("jdbcClientType", "")).lower(),
                field.dataType.simpleString(),
            )
            for field in schema.fields
        ]

    def ask(
        self, relation: str, kinds: Sequence[str], values: Sequence[str], counts: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The one row of a relation, by the names of its columns.

        Args:
            kinds, values: columns that are the kind and the text of a position.
            counts: columns that are numbers of rows.

        Raises:
            InputError, StorageError: as `columns`.
        """
        # SQLite does not tell the types of expressions.
        types = dict.fromkeys(kinds, "string") | dict.fromkeys(counts, "bigint")
        if self.dialect.positions_are_text:
            types |= dict.fromkeys(values, "string")
        with self._faults():
            [row] = self._frame(
                relation, (), ", ".join(f"{name} {type_}" for name, type_ in types.items())
            ).collect()
        return row.asDict()

    @contextmanager
    def rows(
        self, relation: str, conditions: Sequence[str], types: Mapping[str, str]
    ) -> Generator[DataFrame]:
        """A frame of a relation's columns, a Spark partition for each condition; reading it ends in
        the same errors.

        Args:
            conditions: of the rows of each partition; none: one partition with all rows.
            types: Spark SQL type of each column to read.
        """
        schema = ", ".join(f"{name} {type_}" for name, type_ in types.items())
        with self._faults():
            frame = self._frame(relation, conditions, schema)
            # By place: some databases give names in upper case.
            yield frame.select(*(f"`{name}`" for name in frame.columns[: len(types)]))

    def _frame(self, relation: str, conditions: Sequence[str], schema: str) -> DataFrame:
        address = self.address
        properties = {
            **self.dialect.properties,
            "fetchsize": str(self.fetch_size),
            "preferTimestampNTZ": "true",
        }
        properties |= {
            name: text
            for name, text in (("user", address.user), ("password", address.password))
            if text
        }
        if schema:
            properties["customSchema"] = schema
        if not conditions:
            return self.spark.read.jdbc(address.url, relation, properties=properties)
        return self.spark.read.jdbc(
            address.url, relation, predicates=list(conditions), properties=properties
        )

    @contextmanager
    def _faults(self) -> Generator[None]:
        """Turns what the JVM raises into errors of ours; meanwhile Spark's own log keeps quiet,
        which would show it whole.
        """
        from py4j.protocol import Py4JJavaError
        from pyspark.errors import PySparkException, PythonException

        jvm: Any = self.spark.sparkContext._jvm
        jvm.java.sql.DriverManager.setLoginTimeout(_LOGIN_TIMEOUT_S)
        level = jvm.org.apache.logging.log4j.LogManager.getRootLogger().getLevel().toString()
        self.spark.sparkContext.setLogLevel("OFF")
        try:
            yield
        except PythonException:
            # A fault of ours in a worker, which knows no secret.
            raise
        except (Py4JJavaError, PySparkException) as error:
            causes = _causes(error)
            # Not `from error`: its text may hold the address, the user or the password.
            raise self._fault(causes or [_Cause(type(error).__name__, str(error), "")]) from None
        finally:
            self.spark.sparkContext.setLogLevel(level)

    def _fault(self, causes: Sequence[_Cause]) -> BatchInferError:
        sql = [cause for cause in causes if cause.state or "SQL" in cause.type]
        last = (sql or causes)[-1]
        lines = [line.strip() for line in last.message.splitlines()]
        said = self.address.hide(
            " ".join(line for line in lines if line and not line.startswith("Position:"))
        )
        if "No suitable driver" in last.message or "ClassNotFoundException" in last.type:
            return ConfigError(
                f"source.url_env: no JDBC driver for the {self.address.product} address in "
                f"{self.url_env}; allowed: postgresql, "
                "sqlite, or a database whose driver Spark has",
                hint="name the driver's package in the environment's spark.conf: "
                "spark.jars.packages, or its jar: spark.jars",
            )
        if last.state.startswith(_REFUSED):
            return InputError(
                f"{self.name}: the database refuses the connection: {said}; allowed: a user, "
                "password and database that it knows",
                hint="look at the variables that source.url_env, user_env and password_env name",
            )
        if (
            last.state.startswith(_UNREACHABLE)
            or any(word in last.message for word in _BUSY)
            or "Timeout" in last.type
        ):
            fact = f"{self.name}: the database of {self.url_env} cannot be reached: {said}"
            return StorageError(
                fact,
                hint="look at the address that the variable holds, and at the server; then try "
                "again",
            )
        return InputError(
            f"{self.name}: the database cannot read it: {said}{self._near_table(last)}"
        )

    def _near_table(self, cause: _Cause) -> str:
        """What a table that is not there may have been meant to be."""
        tables = self.dialect.tables
        if tables is None or not (cause.state in _NO_TABLE or "no such table" in cause.message):
            return ""
        found = [
            row[0]
            for row in self._frame(f"({tables}) batchinfer_rows", (), "name string").collect()
        ]
        bare = self.name.rpartition(".")[2]
        return did_you_mean(self.name, found) or did_you_mean(
            bare, [name.rpartition(".")[2] for name in found]
        )


@dataclass(frozen=True)
class _Cause:
    """One error of a chain of Java's: its class, its message, its SQL state where it has one."""

    type: str
    message: str
    state: str


def _causes(error: Exception) -> list[_Cause]:
    """The chain of Java's errors behind one of Spark's, outermost first."""
    return [
        _Cause(java.getClass().getName(), str(java.getMessage() or ""), _sql_state(java))
        for java in java_causes(error)
    ]


def _sql_state(java: Any) -> str:
    gateway: Any = java._gateway_client
    from py4j.java_gateway import is_instance_of
    from pyspark import SparkContext

    context: Any = SparkContext._active_spark_context
    if (
        gateway is None
        or context is None
        or not is_instance_of(context._gateway, java, "java.sql.SQLException")
    ):
        return ""
    return str(java.getSQLState() or "")
