"""Formats of models trained elsewhere: how each is recognised, checked before anything of it is
loaded, and opened.

Owns what an artefact may hold. A format is one module with `check_…` (reads bytes, runs nothing of
the model) and `open_…` (checks, then loads those very bytes as a torch module). Knows neither
pipelines nor the registry. Importing this package loads neither torch nor any of the libraries
behind the formats.
"""
