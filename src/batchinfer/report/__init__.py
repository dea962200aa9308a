"""What people read after a run, and while it runs: the HTML report, and tables and progress on the
terminal.
"""
