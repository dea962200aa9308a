"""What a pipeline file says: places and names, its steps held against columns, names of slices.
Reads no table.
"""
