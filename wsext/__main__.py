"""``python -m wsext``: the command, without its script."""

from wsext.cli import main

if __name__ == "__main__":
    main()
