"""What the exit code of a run says, to whoever started it: a shell, SLURM's requeue, synth.generate."""

DONE = 0
FAILED = 1
BAD_INPUT = 2  # nothing was started
TOO_FEW = 3  # ended with fewer records than asked for, all kept safe
STOPPED = 75  # by a signal; the same command goes on (EX_TEMPFAIL of sysexits.h: try again)
