"""Other systems, each run as it is meant to be run, in an environment of their own (`make
bench-setup`).
"""
