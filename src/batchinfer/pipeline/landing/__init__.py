"""From a source to the landed table: what is new, how executors stage it, and the commits."""
