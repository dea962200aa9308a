"""Reads raw records: which files there are, how they are cut into splits, and what each record says.

Owns listing, splitting and parsing. Must not know Spark, Delta, the pipeline's commands or where results are written:
every function works on local paths and plain values, and the workers of any engine can call it.

One file a kind of source (`csv_parser`, `log_parser`); `readers` says which function reads which kind.
"""
