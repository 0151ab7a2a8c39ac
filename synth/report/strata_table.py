"""The strata of a run as a table in a terminal."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from synth.printable import printable
from synth.report.strata import Stratum

BAR = 12


def strata_table(strata: Sequence[Stratum]) -> Table:
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "left", "left", "right", "right"):
        table.add_column(justify=justify, overflow="fold")
    table.add_row(*(Text(head, "dim") for head in ("stratum", "", "", "kept", "of")))
    before = None
    for stratum in strata:
        bar = "█" * round(BAR * min(1.0, stratum.kept / stratum.wanted))
        column = "" if stratum.column == before else printable(stratum.column)
        table.add_row(column, Text(printable(stratum.label)), Text(bar), f"{stratum.kept:,}", f"{stratum.wanted:,}")
        before = stratum.column
    return table
