"""What an error of somebody else's says, in one line: ours have no more."""


def reason(error: BaseException) -> str:
    """The first line of its message, or its kind where it has none."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)
