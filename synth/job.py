"""One run from configuration to dataset: open the folder, start the cluster, schedule, merge, tell.

Promises: what can be refused is refused before anything is started; a run that ends early, for whatever reason,
says where its finished records are, and the same command goes on from there.
"""

import asyncio
import os
import platform
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
from omegaconf import OmegaConf

import synth
from synth.config import Config, ConfigError
from synth.engines import EngineError, Sampling
from synth.report.progress import Progress, Snapshot
from synth.schedule.cluster import connected
from synth.schedule.plan import Plan, Shard
from synth.schedule.scheduler import Scheduler, WorkerLost
from synth.storage.card import card
from synth.storage.manifest import Manifest, ShardState, differing_keys, fingerprint_of, type_to_text
from synth.storage.merge import merge
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary

DONE, FAILED, BAD_INPUT, TOO_FEW, STOPPED = 0, 1, 2, 3, 75
