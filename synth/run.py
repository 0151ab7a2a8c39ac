"""The main job: python -m synth.run +strategy=magpie [overrides].

Hydra composes the configuration, synth.config checks it, synth.job does the work. This door turns what goes wrong
into one line and an exit code: 0 done, 2 bad configuration (nothing started), 3 fewer records than asked,
75 stopped by a signal (run again to go on), 1 anything else.
"""

import os
import sys
from collections.abc import Sequence

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from synth.config import CONF_DIR, ConfigError, parse
from synth.hydra_errors import explain

_codes: list[int] = []


@hydra.main(version_base=None, config_path=str(CONF_DIR), config_name="config")
def _job(composed: DictConfig) -> None:
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        # One folder a job: a sweep's runs differ, and a folder holds one run.
        with open_dict(composed):
            composed.output_dir = os.path.join(composed.output_dir, HydraConfig.get().job.override_dirname)
    config = parse(composed)

    from synth import job  # after the configuration is known to be good: this is what loads Ray

    if config.settings.dry_run:
        print(job.describe(config))
        _codes.append(0)
    else:
        _codes.append(job.run(config))


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of one run, or the highest of a multirun's."""
    sys.argv[1:] = sys.argv[1:] if arguments is None else arguments
    _codes.clear()
    # Hydra then raises what went wrong instead of printing it in its own many lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        _job()
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 75
    except Exception as error:
        line = explain(error, sys.argv[1:])
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        return 2
    return max(_codes, default=0)


if __name__ == "__main__":
    sys.exit(main())
