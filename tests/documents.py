"""The commands and files of README and docs, read out of the pages."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), EXAMPLES / "README.md"]


def name_of(page: Path) -> str:
    """As pytest's -k takes it: README, judge, examples."""
    return "examples" if page.parent == EXAMPLES else page.stem


def look_like_the_checkout(folder: Path) -> None:
    """What is tracked in it, and the software: no file that a user has there besides."""
    for part in ("synth", "conf", "docs", "benchmarks", "requirements", "slurm", "tests", "Makefile", "pyproject.toml"):
        (folder / part).symlink_to(ROOT / part)
    (folder / ".venv").symlink_to(sys.prefix)


def files(page: Path) -> dict[str, str]:
    """The page's files by name: blocks of code whose first line is a comment with the name."""
    blocks = re.findall(r"^```\w+\n(# \S+\.(?:py|yaml)\n.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return {block.partition("\n")[0].removeprefix("# "): block for block in blocks}


def commands(page: Path) -> list[str]:
    """The lines of the page's bash blocks, each whole, without comments behind them."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in (re.sub(r"\s+# .*", "", line).strip() for line in lines) if line]


def write_files(page: Path, folder: Path) -> None:
    for name, text in files(page).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
