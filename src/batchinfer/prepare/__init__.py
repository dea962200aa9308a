"""Table transforms: steps that need other rows, and so run in Spark before the features
(`prepare:`).

A new step is one class in one of the modules and one line in `parse_prepare`.
"""
