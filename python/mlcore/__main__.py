"""``python -m mlcore`` is the ``mlcore`` command."""

import sys

from mlcore.cli import main

if __name__ == "__main__":
    sys.exit(main())
