"""A store that is not what was loaded: `load` says so, with the file and the command that mends it,
and changes all stores or none.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from spark.test_fallbacks import Buys, buys, scores  # noqa: F401
from spark.test_load import FIRST, SECOND, Shop, shop, visits  # noqa: F401

from batchinfer.errors import ConfigError, DamagedPointer, DamagedStore, InputMissing
from batchinfer.hints import commands_of
from batchinfer.lookups.stores.embedded_store import EmbeddedStore
from batchinfer.pipeline.load import load_stores


def files_of(shop: Shop, generation: int = 0) -> list[Path]:  # noqa: F811
    """Files of the newest layer of the current generation, or the one before."""
    layer = shop.pointer.generations[generation].layers[0]
    return sorted(Path(shop.store.root, "layers", layer.name).glob("*.lmdb"))


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-4096])


def full_command(shop: Shop, *words: str) -> list[str]:  # noqa: F811
    return [shop.context().asked.command("load", *words, "--full")]


@pytest.mark.parametrize(
    ("damage", "said"),
    [(flip, "its checksum is"), (cut, "bytes, .* were written"), (Path.unlink, "is not there")],
)
def test_a_load_without_a_change_looks_at_what_the_store_has(
    shop: Shop,  # noqa: F811
    damage: Callable[[Path], None],
    said: str,
) -> None:
    shop.publish(FIRST, visits(FIRST, range(40), 100.0))
    shop.load()
    (file,) = files_of(shop)
    damage(file)
    with pytest.raises(DamagedStore, match=rf"{file.name}: damaged: .*{said}") as told:
        shop.load()
    assert told.value.exit_code == 8
    assert commands_of(told.value.hint) == full_command(shop)
    assert shop.load(full=True, verify=True).rows == 40
    assert shop.load().status == "unchanged"


def test_changes_are_not_written_above_a_damaged_layer(shop: Shop) -> None:  # noqa: F811
    shop.publish(FIRST, visits(FIRST, range(400), 100.0))
    shop.load()
    (file,) = files_of(shop)
    shop.publish(SECOND, visits(SECOND, range(3), 200.0))
    shop.load()
    before = shop.pointer
    # The rows that change now lie in the layer above it.
    shop.publish(SECOND, visits(SECOND, range(3), 300.0))
    flip(file)
    with pytest.raises(DamagedStore) as told:
        shop.load(to="embedded")
    assert shop.pointer == before
    assert commands_of(told.value.hint) == full_command(shop, "--to", "embedded")


def test_no_way_back_to_a_damaged_generation(shop: Shop) -> None:  # noqa: F811
    shop.publish(FIRST, visits(FIRST, range(40), 100.0))
    shop.load()
    shop.publish(FIRST, visits(FIRST, range(40), 500.0))
    shop.load(full=True)
    before = shop.pointer
    (file,) = files_of(shop, 1)
    flip(file)
    with pytest.raises(DamagedStore, match=f"{file.name}: damaged") as told:
        shop.load(rollback=True)
    assert shop.pointer == before and shop.scores(1) == [501.0]
    assert commands_of(told.value.hint) == full_command(shop)


def test_two_stores_of_a_kind_are_set_back_together(shop: Shop) -> None:  # noqa: F811
    conf = shop.root / "conf/pipelines/visits.yaml"
    conf.write_text(conf.read_text() + "load: [{kind: embedded}, {kind: embedded, path: copy}]\n")
    copy = EmbeddedStore(str(shop.root / "var/copy"))
    for score in (100.0, 500.0):
        shop.publish(FIRST, visits(FIRST, range(40), score))
        shop.load()
    latest = copy.pointer()
    assert latest is not None and latest.former is not None
    shop.load(rollback=True)
    set_back = copy.pointer()
    assert set_back is not None and set_back.current == latest.former
    # Now the copy alone has no way forward: the first store stays, too.
    (file,) = (shop.root / "var/copy/layers" / latest.current.layers[0].name).glob("*.lmdb")
    file.unlink()
    before = shop.pointer
    with pytest.raises(DamagedStore, match="copy/layers"):
        shop.load(rollback=True)
    assert shop.pointer == before


def test_all_stores_are_set_back_or_none(buys: Buys) -> None:  # noqa: F811
    def load(**options: bool) -> None:
        load_stores(buys.context(), buys.open_session, **options)

    root = buys.root / "var/online/buys"
    fallbacks = EmbeddedStore(str(root / "fallbacks"))
    with pytest.raises(InputMissing, match="online/buys: nothing was loaded yet"):
        load(rollback=True)
    load()
    buys.write("predictions", scores(range(9), 100.0))
    load()
    before = fallbacks.pointer()
    assert before is not None and before.former is not None
    (root / "pointer.json").unlink()
    with pytest.raises(InputMissing, match="online/buys: nothing was loaded yet"):
        load(rollback=True)
    assert fallbacks.pointer() == before
    # Nor are fallbacks loaded beside predictions that cannot be.
    (root / "pointer.json").write_text("[]")
    buys.write("predictions", scores(range(9), 200.0))
    with pytest.raises(DamagedPointer):
        load()
    assert fallbacks.pointer() == before


@pytest.mark.parametrize("text", [b"[]", b"{", b"\xff\xfe\x00", b'{"current": 3}'])
def test_a_damaged_pointer_is_replaced_by_a_load_of_all_rows(
    shop: Shop,  # noqa: F811
    text: bytes,
) -> None:
    shop.publish(FIRST, visits(FIRST, range(40), 100.0))
    shop.load()
    held = shop.pointer.current
    file = Path(shop.store.root) / "pointer.json"
    file.write_bytes(text)
    with pytest.raises(DamagedPointer) as told:
        shop.load()
    (problem,) = told.value.problems
    assert problem.startswith(f"{file}: damaged: ")
    assert not any(word in problem for word in ("\n", "pydantic", "instance of"))
    assert commands_of(told.value.hint) == full_command(shop)
    (store,) = shop.load(full=True, verify=True).stores
    assert "damaged pointer was replaced" in store.way
    # Who still reads the generation that the pointer named finds its rows.
    assert shop.store.read(held, [shop._key(1)]) != [None]
    assert shop.load().status == "unchanged"
    assert shop.store.layers() == {shop.pointer.current.name}


def test_a_kind_that_is_not_named_is_told_as_a_pipeline_file_writes_it(
    shop: Shop,  # noqa: F811
) -> None:
    for kind in ("redis", "dynamodb", "postgres"):
        with pytest.raises(ConfigError, match=r"allowed: embedded$") as told:
            shop.load(to=kind)
        assert told.value.hint is not None
        written, _, _ = told.value.hint.partition(" in ")
        conf = shop.root / "conf/pipelines/other.yaml"
        text = (shop.root / "conf/pipelines/visits.yaml").read_text()
        conf.write_text(text.replace("name: visits", "name: other") + written + "\n")
        (target,) = type(shop.context()).open(str(conf), "local").pipeline.load
        assert target.kind == kind


def test_slices_that_are_there_are_told(shop: Shop) -> None:  # noqa: F811
    for day in range(10, 19):
        shop.publish(f"2026-11-{day}", visits(f"2026-11-{day}", range(4), 100.0))
    with pytest.raises(InputMissing) as told:
        shop.load(slice_="2020-01-01")
    assert str(told.value).endswith(
        "no slice up to 2020-01-01 has been published; published: "
        "2026-11-10, 2026-11-11, 2026-11-12, …, 2026-11-16, 2026-11-17, 2026-11-18"
    )
    command = shop.context().asked.command("load", "--slice", "2026-11-10")
    assert commands_of(told.value.hint) == [command]
