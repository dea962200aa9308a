"""What was answered before and need not be scored again: rows by their fingerprints, and files of
tasks that have done their part already.
"""
