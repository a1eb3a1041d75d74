"""What GDB prints at a command, as text. Import inside GDB only."""

import gdb


def printed(line: str) -> str:
    """The output of a command line that is not shown; `gdb.error` where GDB refuses it.

    GDB 18 writes the records of MI (`~"text"`) even where the output is kept, when the command came by MI.
    The console's interpreter never does; it is not the first choice, for GDB 13 forgets there why it refuses.
    """
    if gdb.execute("echo x", to_string=True) != "x":
        quoted = line.replace("\\", r"\\").replace('"', r"\"")
        line = f'interpreter-exec console "{quoted}"'
    return str(gdb.execute(line, to_string=True))
