"""``python -m wsext``: the command, without its script."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, from which nothing is to be imported unasked
    from wsext.cli import main

    main()
