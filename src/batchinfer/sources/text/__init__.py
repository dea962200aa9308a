"""Text files: byte ranges, blocks of whole lines, CSV and logs, and text that becomes typed
columns.
"""
