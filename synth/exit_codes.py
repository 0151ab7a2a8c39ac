"""Exit codes of a run, for shells, SLURM's requeue and synth.generate."""

DONE = 0
FAILED = 1
BAD_INPUT = 2  # nothing was started
TOO_FEW = 3  # ended with fewer records than asked for, which are safe
STOPPED = 75  # by a signal; the same command resumes (EX_TEMPFAIL of sysexits.h: try again)
