"""The one package that knows all the rooms, and wires them: a file a command."""
