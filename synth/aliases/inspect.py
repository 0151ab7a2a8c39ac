"""python -m synth.inspect: what synth.show does.

Not in synth/ itself, where a file of this name would hide the standard library's from whoever works in that folder.
"""

import sys

from synth.show import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
