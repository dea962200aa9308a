"""What a slice is: its files, its columns, its rows, wherever they lie; and the register of tables
read in place.
"""
