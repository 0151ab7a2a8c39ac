"""What a filter makes of a record: None where it keeps it, else the reason."""

import inspect

from synth.records import Rejection


async def judged(step, llm=None, **record):
    """The reason, and that it is one of those that the step tells of."""
    try:
        kept = step(dict(record), llm)
        kept = await kept if inspect.isawaitable(kept) else kept
    except Rejection as rejection:
        assert rejection.reason in step.rejections
        return rejection.reason
    assert {name: kept[name] for name in record} == record
    return None
