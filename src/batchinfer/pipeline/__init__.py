"""The one package that knows all the rooms, and wires them: a file a command on top, five rooms
below that look down.

`definition` < `slices` < `landing` and `scoring`, which do not know each other; `training` stands
on `landing`.
"""
