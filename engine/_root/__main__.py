"""`python -m inachus` is the `inachus` command."""

import sys

from inachus.models.cli import main

if __name__ == "__main__":
    sys.exit(main())
