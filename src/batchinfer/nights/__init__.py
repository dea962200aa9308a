"""Scheduled runs: what a night of a pipeline does, in which order, how often it is tried, and who
is told of it.
"""
