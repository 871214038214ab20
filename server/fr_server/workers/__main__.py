"""A front-end process: `python -m fr_server.workers LINK MEMORY`, two file descriptors; for `fr serve` to start."""

import sys

from fr_server.memory import uncollected

if __name__ == "__main__":
    with uncollected():
        from fr_server.workers.frontend import main

    main(*map(int, sys.argv[1:]))
