"""Answers for single keys: what fallbacks say, and predictions made now.

Must not publish anything.
"""
