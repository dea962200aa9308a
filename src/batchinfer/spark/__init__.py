"""Runs work on Spark: the session, what travels, tasks and their progress, capacity, stores. Knows
no pipeline.
"""
