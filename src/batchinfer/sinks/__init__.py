"""Delta writes without a JVM: staged Parquet files, atomic commits, ledger, leases, quarantine and runs tables.

Must not know where rows come from, how they were scored, or what a check said of them.
"""
