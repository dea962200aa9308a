"""The pages that are made from the code say what the code says now: `make docs` writes them."""

from __future__ import annotations

import pytest
from reference_pages.pages import PAGES, ROOT


@pytest.mark.parametrize("page", PAGES)
def test_the_committed_page_is_what_the_code_gives(page: str) -> None:
    committed = (ROOT / page).read_text(encoding="utf-8")
    assert committed == PAGES[page](), f"{page}: make docs"
