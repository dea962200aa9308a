"""Which names are taken for another one."""

from __future__ import annotations

import pytest

from batchinfer.config.look_alikes import look_alikes


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("amount", "Amount"),
        ("user_id", "userId"),
        ("order_id", "Order ID"),
        ("order-id", "order_id"),
        ("amount_eur", "Amount (EUR)"),
        ("pm2_5", "pm2.5"),
        ("cote", "Côté"),
        ("amount", "amont"),
        ("amount", "amounts"),
        ("amount", "amuont"),
        ("customer_name", "custommer_nam"),
    ],
)
def test_names_of_other_case_signs_or_spelling_are_alike(name: str, other: str) -> None:
    assert look_alikes(name, ["zzz", other]) == [other]
    assert look_alikes(other, [name]) == [name]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("lat", "lon"),
        ("age", "ago"),
        ("price_1", "price_2"),
        ("line10", "line100"),
        ("amount", "account_no"),
        ("amount", "amo"),
        ("", "_"),
        ("amount", "amount"),
        ("x" * 100, "x" * 99),
    ],
)
def test_other_names_are_not(name: str, other: str) -> None:
    assert look_alikes(name, [other]) == look_alikes(other, [name]) == []
