"""Online stores: copies of served rows that are read by key in microseconds.

`online_store` is what a store has to do, `store_catalogue` names them, `generation` is what readers
see, `stored_rows` how rows lie in them. Must not know Delta, Spark or pipelines.
"""
