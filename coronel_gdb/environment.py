"""The packages that a debugger's own Python lacks: those of the environment in which this package lies.

A debugger embeds the system's Python. A checkout has its environment in `.venv`; installed, this package is
in an environment itself.
"""

import site
import sys
from pathlib import Path

ROOT = Path(__file__).absolute().parents[1]
"""The folder that holds this package: a checkout, or the packages of an environment."""

OLDEST = (3, 11)
Problems = tuple[tuple[str, str], ...]
"""(what, why) of each part that does not work."""


def too_old(debugger: str) -> str:
    """Why nothing of this package can run in the debugger's Python, in one line; nothing where it can."""
    major, minor = sys.version_info[:2]
    if (major, minor) >= OLDEST:
        return ""
    return (
        f"coronel: {debugger} embeds Python {major}.{minor}, the commands need {OLDEST[0]}.{OLDEST[1]}: "
        "use a newer debugger, or `coronel` from a newer Python, which needs none\n"
    )


def lend(debugger: str) -> Problems:
    """Put the environment's packages on the path, behind the debugger's own; what will not fit is said."""
    wanted = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if any(ROOT.glob("coronel_gdb-*.dist-info")):
        found = [ROOT]
        # In front it would hide packages of the debugger's; `model` and this one are found by now.
        import model  # noqa: F401 - now, while the folder is in front

        sys.path[:] = [path for path in sys.path if path != str(ROOT)]
    else:
        found = sorted((ROOT / ".venv" / "lib").glob("python3.*/site-packages"))
    for folder in found:
        if str(folder) not in sys.path:
            site.addsitedir(str(folder))  # with its .pth files: plugins that are being written use them
    if not found:
        return (("packages", f"no environment at {ROOT / '.venv'}: run `make setup`"),)
    versions = {path.parent.name for path in found if path.parent.name.startswith("python3.")}
    if versions and wanted not in versions:
        here = ", ".join(sorted(versions))
        why = f"{debugger} embeds {wanted}, the environment has {here}: compiled packages fail"
        return (("packages", why),)
    return ()
