"""Delta tables without a JVM, read and written: staged files, atomic commits, ledger, leases,
quarantine, runs.

Must not know where rows come from, how they were scored, or what a check said of them.
"""
