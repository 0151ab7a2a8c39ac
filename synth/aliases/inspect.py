"""python -m synth.inspect: the same as synth.show.

Not in synth/ itself, where a file of this name would hide the standard library's module from programs run in that
folder.
"""

import sys

from synth.show import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
