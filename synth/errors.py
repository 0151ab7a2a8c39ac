"""What an error of somebody else's says, in one line: ours have no more."""

from pydantic import ValidationError


def reason(error: BaseException) -> str:
    """The first line of its message, or its kind where it has none. Of pydantic's, what is wrong with which key."""
    if isinstance(error, ValidationError):
        return "; ".join(
            ": ".join([*map(str, one["loc"]), one["msg"].removeprefix("Value error, ")]) for one in error.errors()
        )
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)
