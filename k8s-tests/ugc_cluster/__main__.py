"""`python -m ugc_cluster`: a node with the platform's images, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from ugc_cluster.failure import NoClusterError
from ugc_cluster.images import REPOSITORY
from ugc_cluster.provider import provided


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with provided(os.environ, REPOSITORY / "build" / "k8s", print) as cluster:
            print(f"export KUBECONFIG={cluster.kubeconfig}")
            folder = Path(cluster.kubectl_program).parent
            print(f"export PATH={folder}:$PATH   # kubectl", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except NoClusterError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
