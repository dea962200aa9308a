"""The command line by groups of commands, and what they share; `cli.py` puts them together."""
