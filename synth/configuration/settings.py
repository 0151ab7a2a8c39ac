"""The keys of a run's top level and of its cluster, with their types.

Promises: a value of another type or outside its bounds is refused with the name of its key, before anything is loaded.
Keys are checked here one by one; combinations.py checks which of them go together.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines.cards import card
from synth.paths import LocalPath
from synth.publishing.destinations import checked
from synth.records import Slice
from synth.storage.hub import dataset_name
from synth.storage.run_folder import RunFolder


def _no_bool(kind: str) -> BeforeValidator:
    """pydantic would accept true as 1."""

    def refuse(value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError(f"must be a {kind}")
        return value

    return BeforeValidator(refuse)


def _slice(value: Any) -> Slice | None:
    return value if value is None or isinstance(value, Slice) else Slice.parse(value)


def _gpu(value: str) -> str:
    if value != "auto":
        card(value)
    return value


def _folder(value: Any) -> Any:
    if isinstance(value, str) and "://" in value:
        raise ValueError(f"must be a local folder; set publish={value} to have its rows there as they are made")
    return value


def _list(value: Any) -> Any:
    return [] if value is None else [value] if isinstance(value, str) else value


def _switch(value: Any) -> Any:
    if value not in ("auto", "keep") and not isinstance(value, bool):
        raise ValueError("must be auto, true, false or keep")
    return value


Integer = Annotated[int, _no_bool("whole number")]
Count = Annotated[Integer, Field(ge=1)]
Port = Annotated[Integer, Field(ge=1, le=65535)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), _no_bool("number above 0")]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Cluster:
    """Where replicas run. `address` null starts Ray on this machine; `auto` replicas fill the GPUs, or one on CPU.
    `gpu` is the GPU model for dry runs.

    `metrics_port` is for a Ray that is started here: an existing one has its own. `claim_processes` is the number of
    processes for dedup keys.
    """

    address: str | None = None
    replicas: Count | Literal["auto"] = "auto"
    records_in_flight: Count | Literal["auto"] = "auto"
    start_timeout_s: Positive = 1800.0
    gpu: Annotated[str, AfterValidator(_gpu)] = "auto"
    metrics_port: Port | None = None
    claim_processes: Count | Literal["auto"] = "auto"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Settings:
    """The top level of `conf/config.yaml` without its groups. `output_dir` is the whole run's, also for a slice."""

    num_records: Count | Literal["all"]
    strata: dict[str, Any] | None = None
    seed: Integer
    output_dir: Annotated[LocalPath, BeforeValidator(_folder)]
    slice: Annotated[Slice | None, BeforeValidator(_slice)] = None
    shard_size: Count | Literal["auto"]
    resume: Literal["auto", "never", "force"]
    retry: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_list)] = dataclasses.field(
        default_factory=list
    )
    min_yield: Annotated[float, Field(ge=0, le=1), _no_bool("number from 0 to 1")]
    push_to_hub: Annotated[str, AfterValidator(dataset_name)] | None
    publish: Annotated[str, AfterValidator(checked)] | None = None
    checkpoint_calls: Annotated[bool | Literal["auto", "keep"], BeforeValidator(_switch)] = "auto"
    reuse: LocalPath | None = None
    continue_answers: Annotated[bool, Field(strict=True)] = False
    step_timeout_s: Positive | None = 3600.0
    price_per_gpu_hour: Positive | None = None
    tracking: Literal["wandb", "mlflow"] | None = None
    dry_run: bool
    estimate_from: LocalPath | None = None

    @property
    def most_records(self) -> int | None:
        """The number of records to keep; None if all records of the source are wanted."""
        return None if self.num_records == "all" else self.num_records

    @property
    def run_dir(self) -> Path:
        """The folder of this job: for a slice, below the whole run's folder."""
        return self.output_dir if self.slice is None else RunFolder(self.output_dir).slice(self.slice).path
