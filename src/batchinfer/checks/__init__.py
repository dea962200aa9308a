"""Expectation suites and key checks: what must hold of a frame, and whether it does. Never writes
data.
"""
