"""The command line: ``python -m saliency_core evaluate PHOTOS --model NAME``, or ``serve``."""

import sys

from saliency_core.cli.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
