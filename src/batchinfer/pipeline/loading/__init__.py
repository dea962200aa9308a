"""Copies served rows into an online store: which rows, how executors write them, what readers see
after that.

`load` wires it. Must not know how a store keeps its rows, nor how predictions are made.
"""
