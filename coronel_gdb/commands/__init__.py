"""The commands: each module declares one COMMAND, data plus one function."""
