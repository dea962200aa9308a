"""Reads predictions by key: from Delta tables with Arrow, no JVM.

Must not write anything, nor know how predictions are made.
"""
