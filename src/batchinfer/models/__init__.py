"""Models: handlers, bundles, the registry and training.

Owns what a model is on disk and in memory, and how one is made and found again. Knows no Spark, no
tables and no pipeline files. Importing this package loads neither torch nor mlflow: its modules do
that when they are needed.
"""
