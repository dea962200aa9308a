"""Parquet files: footers, the contract of their columns, row groups, and Hive partitions."""
