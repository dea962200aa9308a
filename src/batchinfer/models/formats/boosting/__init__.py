"""Boosted trees in their own libraries' files: XGBoost, LightGBM, CatBoost.

Owns what is checked of such a file before the library's own parser, which is C++, sees it. Knows no
columns of tables.
"""
