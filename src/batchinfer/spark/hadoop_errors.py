"""What went wrong on a store, in the classes and the words of this project.

Owns which of Hadoop's exceptions means what, and that no secret stands in a message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from batchinfer.config.uris import STORES, Uri
from batchinfer.credentials import without_credentials
from batchinfer.errors import BatchInferError, ConfigError, InputError, InputMissing, StorageError
from batchinfer.spark.jvm import java_causes

_MESSAGE_CHARACTERS = 300
_SECRET_NAME = re.compile(
    r"(?i)secret|password|passwd|token|credential|access[._]?key|account[._]key|sas"
)
_SECRET_CHARACTERS = 6
# A class that is not found may also be one that the settings name, such as a provider of
# credentials.
_FILE_SYSTEM = re.compile(r"FileSystem not found$")
_NO_CLASS = {"UnsupportedFileSystemException", "NoClassDefFoundError"}
_SETTINGS = {"IllegalArgumentException", "URISyntaxException", "ClassNotFoundException"}
# Of work in the JVM's other threads.
_WRAPPERS = {"ExecutionException", "CompletionException", "UncheckedIOException"}
_INCOMPLETE = "Incomplete HDFS URI"
# What else a store's errors are called by, with what helps.
_HINTS = (
    (
        {
            "NoAuthWithAWSException",
            "NoAwsCredentialsException",
            "CredentialInitializationException",
        },
        "no credentials were found: docs/object-stores.md says where they are looked for",
    ),
    (
        {
            "AccessDeniedException",
            "AccessControlException",
            "AuthorizationException",
            "SaslException",
            "KerberosAuthException",
        },
        "the store refused access: check the credentials, and what they may read",
    ),
    (
        {
            "ConnectException",
            "UnknownHostException",
            "NoRouteToHostException",
            "SocketTimeoutException",
            "ConnectTimeoutException",
        },
        "check the store's address, and try again: docs/object-stores.md names the settings",
    ),
)


class NothingThere(InputMissing):
    """A store answered that there is no file and no folder at a path."""


@contextmanager
def store_faults(
    uri: Uri, doing: str, hadoop: str, setting: str = "source.path"
) -> Generator[None]:
    """Turns what the JVM throws into errors of this project, naming the place.

    Args:
        doing: what was being done, as in `cannot be <doing>`.
        hadoop: version of Spark's own Hadoop, for the package to add.
        setting: that names the place.

    Runs on: driver.

    Raises:
        ConfigError: no file system for the scheme, or settings of it that cannot be used.
        NothingThere, InputMissing: no such path; no such bucket.
        InputError: a file that changed while it was read.
        StorageError: anything else: no access, no answer, a broken connection.
    """
    from py4j.protocol import Py4JError

    try:
        yield
    except BatchInferError:
        raise
    except Exception as error:
        thrown = java_causes(error)
        if not thrown:
            if isinstance(error, Py4JError | OSError):
                raise StorageError(
                    f"{uri} cannot be {doing}: the JVM is gone ({type(error).__name__})"
                ) from error
            raise
        # Not chained: the JVM's own words may hold what ours leave out.
        # The class without its package.
        causes = [
            (str(each.getClass().getName()).rpartition(".")[2], str(each.getMessage() or ""))
            for each in thrown
        ]
        raise _translated(uri, doing, hadoop, causes, setting) from None


def _translated(
    uri: Uri, doing: str, hadoop: str, causes: list[tuple[str, str]], setting: str
) -> BatchInferError:
    names = {name for name, _ in causes}
    fact = f"{uri} cannot be {doing}: {_words(causes)}"
    outermost = next((name for name, _ in causes if name not in _WRAPPERS), "")
    if names & _NO_CLASS or any(_FILE_SYSTEM.search(text) for _, text in causes):
        return _no_package(uri, hadoop, fact, setting)
    if outermost == "UnknownStoreException":
        return InputMissing(
            f"{uri}: the store has no {uri.authority}; allowed: a bucket that is there"
        )
    if outermost == "FileNotFoundException":
        return NothingThere(f"{uri}: there is no such file and no such folder")
    if "RemoteFileChangedException" in names:
        return InputError(
            f"{uri} changed while it was being copied",
            hint="extract again: the file is read as it is then",
        )
    hint = next((hint for classes, hint in _HINTS if names & classes), None)
    if hint is None and (names & _SETTINGS or any(_INCOMPLETE in text for _, text in causes)):
        return ConfigError(
            f"{setting}: {fact}; allowed: an address and settings that the store's file system can "
            "use"
        )
    return StorageError(fact, hint)


def _no_package(uri: Uri, hadoop: str, fact: str, setting: str) -> ConfigError:
    package = STORES[uri.scheme]
    if package is None:
        return ConfigError(f"{setting}: {fact}")
    coordinates = package.format(hadoop=hadoop)
    return ConfigError(
        f"{setting}: {uri}: Spark has no file system for {uri.scheme}:// on its class path; "
        "allowed: with its package",
        hint="add to spark.conf of conf/environments/<env>.yaml:  spark.jars.packages: "
        f"{coordinates}",
    )


def _words(causes: list[tuple[str, str]]) -> str:
    """The innermost message, which says most, in one line and without secrets."""
    name, message = next(
        ((name, message) for name, message in reversed(causes) if message), causes[0]
    )
    text = " ".join(message.split())
    text = f"{name}: {text}" if text else name
    text = without_secrets(text, os.environ)
    return text if len(text) <= _MESSAGE_CHARACTERS else f"{text[: _MESSAGE_CHARACTERS - 2]} …"


def without_secrets(text: str, environment: Mapping[str, str]) -> str:
    """The text without values of variables that are named like secrets, and without credentials in
    addresses.
    """
    secrets = {
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _SECRET_CHARACTERS
    }
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return without_credentials(text)
