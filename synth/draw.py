"""Draws a strategy as a diagram: python -m synth.draw +strategy=magpie [overrides] [--svg FILE].

Prints the chain as Mermaid text, or writes an SVG file. Takes the overrides of a run, loads no model and starts
nothing. Exit codes: 0 done, 2 bad configuration.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from synth import run
from synth.configuration.config import Config
from synth.errors import ConfigError
from synth.paths import argument
from synth.printable import write
from synth.report.diagram import mermaid
from synth.report.diagram_svg import MARK, svg
from synth.storage.run_folder import written_over

HELP = """\
examples:
  python -m synth.draw +strategy=evol_instruct
  python -m synth.draw +strategy=magpie strategy.magpie.n_turns=3 --svg magpie.svg

Overrides are those of a run: python -m synth.run --help.
Exit codes: 0 done; 2 bad configuration."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m synth.draw",
        usage="%(prog)s +strategy=NAME [overrides] [--svg FILE]",
        description="Draw a strategy: steps with their rounds and thresholds, calls, rejections. Loads no model.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--svg", type=argument, metavar="FILE", help="write this file instead of printing Mermaid text")
    given, overrides = parser.parse_known_args(arguments)
    written: list[Path] = []

    def draw(config: Config) -> int:
        if given.svg is None:
            write(mermaid(config.strategy))
            return 0
        if written:
            raise ConfigError(f"--svg: {given.svg} holds one diagram; draw one strategy at a time")
        try:
            # A pipe or terminal is written to; of files, only the command's own are replaced.
            is_file = given.svg.is_file() or not given.svg.exists()
            target = written_over(given.svg, MARK) if is_file else given.svg
            target.write_text(svg(config.strategy), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"--svg: {given.svg} can't be written ({error.strerror})") from None
        written.append(given.svg)
        print(f"The picture is in {given.svg}")
        return 0

    return run.main(overrides, draw)


if __name__ == "__main__":
    sys.exit(main())
