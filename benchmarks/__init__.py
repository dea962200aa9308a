"""Benchmarks: all contenders in one run, in turn, medians and ratios, one JSON line at the end."""
