"""The `ugc` command. Where it starts: what it imports takes half a second, and may be interrupted.

Until there is something to stop, Ctrl-C ends the process at once, as any program in C.
"""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Run the command that the arguments name, in this process's environment."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ugc_local.commands import ugc  # noqa: PLC0415 - after the line above

    ugc(obj=os.environ)


if __name__ == "__main__":
    main()
