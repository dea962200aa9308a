"""Answers for keys without a fresh prediction: computed over what is published, kept in a table of
their own.

Must not know how they are asked for (see `lookups.fallback_chain`).
"""
