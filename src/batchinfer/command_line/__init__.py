"""Groups of commands that `cli` lists, and what shells and several pipelines at once need.

The list itself is `cli`, options that commands share are `cli_options`.
"""
