"""The registry on a real SQLite file, and registries that do not answer."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchinfer.errors import BatchInferError, ConfigError, ModelError, StorageError
from batchinfer.hinted_commands import Asked
from batchinfer.models import registry_reading
from batchinfer.models.bundle import verify_bundle
from batchinfer.models.bundle_writing import write_bundle
from batchinfer.models.handler import BinaryClassifier
from batchinfer.models.mlflow_client import open_client
from batchinfer.models.mlp import build_module
from batchinfer.models.registry import Registry

SIGNATURE = {
    "inputs": [{"name": "a", "type": "double"}],
    "outputs": [{"name": "score", "type": "double"}],
}


def a_bundle(folder: Path, number: int) -> str:
    module = build_module("batchinfer.models.mlp:Mlp", {"features": 1, "outputs": 1, "hidden": []})
    handler = BinaryClassifier(module, None, {}, ("a",))
    facts = {"number": number}
    return write_bundle(
        folder, handler=handler, module=module, transforms=None, signature=SIGNATURE, facts=facts
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with three versions of `income`, the last one champion, and one model of
    somebody else's.
    """
    root = tmp_path_factory.mktemp("state")
    registry = Registry(f"sqlite:///{root}/new/mlflow.db", str(root / "artifacts"))
    for number in (1, 2, 3):
        a_bundle(root / f"b{number}", number)
        metrics = {"auc": 0.9 + number / 100, "bad": float("nan")}
        registry.register(
            "income", root / f"b{number}", "champion", metrics, {"epochs": number}, {"by": "test"}
        )
    client = open_client(registry.tracking_uri)
    client.create_registered_model("foreign")
    client.create_model_version("foreign", str(root))
    client.create_model_version("foreign", str(root))
    client.delete_model_version("foreign", "1")
    return root


@pytest.fixture
def registry(place: Path, tmp_path: Path) -> Iterator[Registry]:
    """A copy, because tests move aliases."""
    shutil.copytree(place, tmp_path / "state")
    yield Registry(
        f"sqlite:///{tmp_path}/state/new/mlflow.db", str(tmp_path / "state" / "artifacts")
    )


def test_alias_and_version_resolve_to_the_bundle_that_was_registered(
    registry: Registry, place: Path, tmp_path: Path
) -> None:
    champion, second = (
        registry.resolve("models:/income@champion"),
        registry.resolve("models:/income/2"),
    )
    assert (champion.version, second.version, champion.uri) == ("3", "2", "models:/income@champion")
    assert second.digest == verify_bundle(place / "b2")["digest"] != champion.digest
    assert registry.resolve("models:/income/3").digest == champion.digest
    for ref in (champion, second):
        folder = registry.fetch(ref, tmp_path / "cache")
        assert '"digest": "' + ref.digest in (folder / "manifest.json").read_text()


def test_versions_say_what_each_is(registry: Registry) -> None:
    versions = registry.versions("income")
    assert [(v["version"], v["aliases"], v["metrics"], v["tags"]) for v in versions] == [
        ("1", [], {"auc": 0.91}, {"by": "test"}),
        ("2", [], {"auc": 0.92}, {"by": "test"}),
        ("3", ["champion"], {"auc": 0.93}, {"by": "test"}),
    ]
    assert all(len(v["digest"]) == 64 and v["created"].endswith("+00:00") for v in versions)


def test_rollback_goes_back_step_by_step_and_then_says_that_it_cannot(registry: Registry) -> None:
    assert registry.rollback("income", "champion").version == "2"
    assert registry.resolve("models:/income@champion").version == "2"
    assert registry.rollback("income", "champion").version == "1"
    with pytest.raises(ModelError, match="no former version"):
        registry.rollback("income", "champion")
    assert registry.promote("income", "3", "champion").version == "3"
    assert registry.rollback("income", "champion").version == "1"


def test_promoting_the_holder_again_changes_nothing(registry: Registry) -> None:
    registry.promote("income", "3", "champion")
    assert registry.rollback("income", "champion").version == "2"
    assert registry.promote("income", "1", "challenger").uri == "models:/income@challenger"
    assert [v["aliases"] for v in registry.versions("income")] == [["challenger"], ["champion"], []]


def test_rollback_passes_over_what_a_crashed_promotion_left_behind(registry: Registry) -> None:
    # The history was written, the alias was not moved: version 3 still holds it.
    open_client(registry.tracking_uri).set_registered_model_tag(
        "income", "batchinfer.history.champion", '["1", "2", "3"]'
    )
    assert registry.rollback("income", "champion").version == "2"


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("models:/incom@champion", ["'incom'", "income", "did you mean income?"]),
        ("models:/income@champoin", ["champion -> 3", "did you mean champion?"]),
        ("models:/income/9", ["versions: 1, 2, 3"]),
        ("models:/foreign/2", ["batchinfer.digest"]),
        ("models:/foreign/1", ["versions: 2"]),
        ("models:income", ["models:/NAME@ALIAS"]),
        ("models:/../x@y", ["models:/NAME@ALIAS"]),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    registry: Registry, uri: str, says: list[str]
) -> None:
    with pytest.raises(ModelError) as caught:
        registry.resolve(uri)
    assert all(part in str(caught.value) for part in says)
    if "incom" in uri and "/NAME" not in str(caught.value):
        assert "train makes a version, and register takes one" in str(caught.value.hint)


def test_an_empty_registry_names_the_command_that_fills_it(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/none/mlflow.db", str(tmp_path))
    with pytest.raises(ModelError, match="registered: none") as caught:
        registry.resolve("models:/income@champion")
    assert caught.value.hint == "train makes a version, and register takes one from elsewhere"
    registry.asked = Asked("my income.yaml")
    with pytest.raises(ModelError) as caught:
        registry.resolve("models:/income@champion")
    assert caught.value.hint == "batchinfer train -p 'my income.yaml' makes a version"
    assert not (tmp_path / "none").exists()


def test_both_ways_to_read_a_registry_give_the_same(registry: Registry) -> None:
    path = Path(registry.tracking_uri.removeprefix("sqlite:///"))
    direct = registry_reading.read_by_sqlite(path)
    assert direct is not None and set(direct) == {"income", "foreign"}
    client = open_client(registry.tracking_uri)
    assert direct == registry_reading.read_by_client(client)
    assert registry_reading.read_by_client(client, "income") == {"income": direct["income"]}
    assert registry_reading.read_by_client(client, "incom") == {}


def test_an_unknown_schema_is_left_to_the_client(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_reading, "_KNOWN_REVISIONS", {"other"})
    assert (
        registry_reading.read_by_sqlite(Path(registry.tracking_uri.removeprefix("sqlite:///")))
        is None
    )
    assert registry.resolve("models:/income@champion").version == "3"


def test_a_damaged_or_missing_stored_bundle_is_a_model_error_on_every_fetch(
    registry: Registry, tmp_path: Path
) -> None:
    a_bundle(tmp_path / "bundle", 4)
    ref = registry.register("other", tmp_path / "bundle", "champion")
    folder = registry.fetch(ref, tmp_path / "cache")
    assert folder.is_relative_to(tmp_path / "state" / "artifacts" / "other")
    (folder / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"weights\.safetensors: got sha256"):
        registry.fetch(ref, tmp_path / "cache")
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match="cannot be read"):
        registry.fetch(ref, tmp_path / "cache")


def test_a_state_folder_that_was_moved_still_works(
    registry: Registry, place: Path, tmp_path: Path
) -> None:
    hidden = place.with_name("hidden")
    place.rename(hidden)
    try:
        folder = registry.fetch(registry.resolve("models:/income/1"), tmp_path / "cache")
        assert folder.is_relative_to(tmp_path / "state")
    finally:
        hidden.rename(place)


def test_a_remote_bundle_is_downloaded_once_into_the_cache(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchinfer.models.registry.local_bundle", lambda *_: None)
    ref = registry.resolve("models:/income/2")
    folder = registry.fetch(ref, tmp_path / "cache")
    assert folder == tmp_path / "cache" / ref.digest
    (folder / "module.json").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"module\.json"):
        registry.fetch(ref, tmp_path / "cache")
    shutil.rmtree(folder)
    assert registry.fetch(ref, tmp_path / "cache") == folder
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [ref.digest]


def test_a_registry_prepared_in_the_background_is_ready_or_says_why_not(
    registry: Registry, tmp_path: Path
) -> None:
    registry.prepare()
    assert registry.promote("income", "1", "champion").version == "1"
    (tmp_path / "file").write_text("")
    broken = Registry(f"sqlite:///{tmp_path}/file/mlflow.db", "")
    broken.prepare()
    with pytest.raises(ConfigError, match=r"cannot be made: the folder .*: File exists") as caught:
        broken.promote("income", "1", "champion")
    # No wait makes a folder of a file.
    assert caught.value.exit_code == 2
    assert caught.value.hint == "another place: BATCHINFER_HOME, or registry in conf/environments"


def test_an_artefact_folder_that_cannot_be_written_is_a_storage_error(
    registry: Registry, tmp_path: Path
) -> None:
    a_bundle(tmp_path / "bundle", 5)
    (tmp_path / "file").write_text("")
    full = Registry(registry.tracking_uri, str(tmp_path / "file" / "artifacts"))
    with pytest.raises(StorageError, match="fresh cannot be registered"):
        full.register("fresh", tmp_path / "bundle", "champion")
    with pytest.raises(ModelError, match="no model 'fresh'"):
        registry.resolve("models:/fresh@champion")


def test_a_damaged_bundle_is_not_registered(registry: Registry, tmp_path: Path) -> None:
    a_bundle(tmp_path / "bundle", 9)
    (tmp_path / "bundle" / "extra").write_text("")
    with pytest.raises(ModelError, match="extra"):
        registry.register("income", tmp_path / "bundle", "champion")
    assert len(registry.versions("income")) == 3


def _seconds_until(error: type[BatchInferError], registry: Registry) -> float:
    start = time.monotonic()
    with pytest.raises(error):
        registry.resolve("models:/income@champion")
    return time.monotonic() - start


def test_a_dead_port_is_a_storage_error_within_seconds() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert _seconds_until(StorageError, Registry(f"http://127.0.0.1:{port}", "")) < 60
    assert (
        _seconds_until(
            StorageError, Registry(f"postgresql://user:secret@127.0.0.1:{port}/mlflow", "")
        )
        < 60
    )


def test_a_socket_that_never_answers_is_a_storage_error_within_seconds() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        assert (
            _seconds_until(
                StorageError, Registry(f"http://127.0.0.1:{silent.getsockname()[1]}", "")
            )
            < 60
        )


def test_a_password_in_the_uri_is_not_shown() -> None:
    with pytest.raises(StorageError) as caught:
        Registry("postgresql://user:secret@127.0.0.1:1/mlflow", "").resolve(
            "models:/income@champion"
        )
    assert "secret" not in str(caught.value) and "127.0.0.1" in str(caught.value)


def test_a_database_that_cannot_be_made_or_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _seconds_until(ConfigError, Registry(f"sqlite:///{tmp_path}/file/mlflow.db", "")) < 60
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    assert _seconds_until(StorageError, Registry(f"sqlite:///{tmp_path}/mlflow.db", "")) < 60


FIRST_USE = """
import sys
from pathlib import Path
from batchinfer.models.registry import Registry
root = Path(sys.argv[1])
registry = Registry(f"sqlite:///{root}/new/mlflow.db", str(root / "artifacts"))
registry.register("income", root / "bundle", "champion")
assert "matplotlib" not in sys.modules
"""


@pytest.mark.timeout(120)
def test_two_processes_may_use_a_new_registry_at_once_and_print_nothing(tmp_path: Path) -> None:
    a_bundle(tmp_path / "bundle", 1)
    start = [sys.executable, "-c", FIRST_USE, str(tmp_path)]
    processes = [
        subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ends = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert [out for out, _ in ends] == ["", ""]
    assert [err for _, err in ends] == ["", ""]
    versions = Registry(f"sqlite:///{tmp_path}/new/mlflow.db", "").versions("income")
    assert [v["version"] for v in versions] == ["1", "2"]


def test_resolving_loads_neither_mlflow_nor_torch(registry: Registry) -> None:
    code = (
        "import sys, pathlib; from batchinfer.models.registry import Registry; r = "
        "Registry(sys.argv[1], sys.argv[2]);"
        "r.fetch(r.resolve('models:/income@champion'), pathlib.Path('unused'));"
        "print([name for name in ('mlflow', 'torch', 'pandas', 'pyspark') if name in sys.modules])"
    )
    start = [sys.executable, "-c", code, registry.tracking_uri, registry.artifacts]
    assert subprocess.run(start, capture_output=True, text=True, check=True).stdout.strip() == "[]"
