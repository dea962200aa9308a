"""The HTTP service: predictions by key, from the online stores that `load` fills.

Several worker processes answer on one socket; one process watches over them. Must not know
pipelines: which ones are served, and how, it is handed as values.
"""
