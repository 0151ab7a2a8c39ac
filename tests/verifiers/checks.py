"""Checks as users write them, good and bad."""

import asyncio
import os
import sys
import time

import numpy as np


def is_short(record, most=10):
    return len(record["response"]) <= most


async def is_short_later(record):
    await asyncio.sleep(0.01)
    return is_short(record)


def half(record):
    return 0.5


def numpys(record):
    return np.bool_(True)


def nothing(record):
    return None


def not_a_number(record):
    return float("nan")


def raises(record):
    raise KeyError("answer")


def stops(record):
    raise StopIteration


def leaves(record):
    sys.exit(0)


async def leaves_later(record):
    sys.exit(0)


def times_out_itself(record):
    raise TimeoutError("of a socket")


def hangs(record):
    time.sleep(600)


async def hangs_later(record):
    await asyncio.sleep(600)


def crashes(record):
    os._exit(0)


def prints(record):
    print('{"value": ["passed", 1.0, ""]}' * 10, flush=True)
    return False


def changes(record):
    record["list"].append(1)
    return True


def process(record):
    return float(os.getpid())


class NoCheck:
    def verify(self):
        return True
