"""What an error line promises: it is one line, it begins with the key or the file, and it names values, suggestions and
commands. Its wording may change."""

import re


def check_line(line, start, *facts):
    """Fails unless `line` begins with `start`, a key or a file, and then has all `facts`. A fact that is a
    word or a number has to be a whole one."""
    line = line.removesuffix("\n")
    assert "\n" not in line, line
    assert line.startswith(start) and line[len(start)] in ": ", line
    rest = line[len(start) :]
    for fact in facts:
        before, after = (r"(?<!\w)" if fact[0].isalnum() else ""), (r"(?!\w)" if fact[-1].isalnum() else "")
        assert re.search(before + re.escape(fact) + after, rest), f"{fact!r} is missing in: {line}"
