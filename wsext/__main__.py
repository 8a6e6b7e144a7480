"""``python -m wsext``."""

from wsext.cli import main

if __name__ == "__main__":
    main()
