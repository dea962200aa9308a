"""From data to the first pipeline file: what data are, what their columns are, and what is proposed
of it. No JVM, no model.
"""
