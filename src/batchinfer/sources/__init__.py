"""Reads raw records: which files there are, how they are cut into splits, and what each record
says.

Owns listing, splitting and parsing. Must not know Spark, Delta, the pipeline's commands or where
results are written: every function works on local paths and plain values, and the workers of any
engine can call it.

A folder for each kind: `text` (CSV, logs), `json`, `tables` (Parquet), `http`, `databases`.
`readers` says which function reads which kind of file.
"""
