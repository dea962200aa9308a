"""Writes the pages of docs/ that say what the code says.

make docs
"""

from __future__ import annotations

from reference_pages.pages import PAGES, ROOT


def main() -> int:
    """Writes every page."""
    for name, text_of in PAGES.items():
        (ROOT / name).write_text(text_of(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
