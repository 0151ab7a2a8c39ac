"""A real SLURM on one machine: munge, a controller and three nodes that are processes, with addresses of their own.

Takes Debian's packages and any user, root or not: keys, sockets, state and configuration are in a folder of its own.
Its nodes are 127.0.0.2 to 127.0.0.4, since 127.0.0.1 is no node's address to Ray.
"""

import getpass
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
NODES = ("n1", "n2", "n3")
CPUS = 4  # of each node, however many there are
LONG_S = 900  # much longer than anything takes, on a busy machine too
GPUS = 2  # that SLURM hands out; to everybody else they are empty files

# No accounting, no cgroups, no systemd. Job numbers of its own, since Ray's ports and folders follow from them.
# A lost node is noticed in seconds, a requeued job waits for a few.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
SchedulerParameters=bf_interval=2
SlurmdTimeout=6
MinJobAge=3600
FirstJobId={first}
"""


class Slurm:
    """Started with the object, ended by `stop`. `folder` must have a short path: sockets are in it.

    Raises OSError where a daemon can't be started or ends at once.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        port = free_ports(1 + len(NODES))
        text = CONFIGURATION.format(
            host=socket.gethostname(),
            port=port[0],
            user=getpass.getuser(),
            folder=folder,
            first=random.randrange(1, 60000),
        )
        for index, name in enumerate(NODES):
            text += (
                f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.{index + 2} "
                f"Port={port[index + 1]} CPUs={CPUS} RealMemory=4000 Gres=gpu:{GPUS} State=UNKNOWN\n"
            )
        text += "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
        (folder / "slurm.conf").write_text(text)
        gpus = [folder / f"gpu{number}" for number in range(GPUS)]
        for gpu in gpus:
            gpu.touch()
        (folder / "gres.conf").write_text(f"NodeName={','.join(NODES)} Name=gpu File={','.join(map(str, gpus))}\n")
        (folder / "state").mkdir()
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o600)
        self._daemons: list[subprocess.Popen] = []
        self.env = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        for name in [name for name in self.env if name.startswith("RAY_")]:
            del self.env[name]
        self._nodes: dict[str, subprocess.Popen] = {}
        try:
            files = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "log", "pid", "seed")]
            self._start("munged", "--foreground", "--force", *files, f"--socket={folder}/munge.socket")
            self._comes_up((folder / "munge.socket").exists)
            self._start("slurmctld", "-D")
            for node in NODES:
                self._start_node(node)
            self._comes_up(lambda: self.tell("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == str(len(NODES)))
        except OSError:
            self._end()
            raise

    def _start(self, program: str, *arguments: str) -> subprocess.Popen:
        with (self.folder / f"{program}.out").open("a") as output:
            command = [_path(program), *arguments]
            daemon = subprocess.Popen(command, env=self.env, stdout=output, stderr=output, start_new_session=True)
        self._daemons.append(daemon)
        return daemon

    def _start_node(self, node: str) -> None:
        self._nodes[node] = self._start("slurmd", "-D", "-N", node)

    def _comes_up(self, condition: Callable[[], bool]) -> None:
        def has_ended() -> list[str]:
            return [str(daemon.args) for daemon in self._daemons if daemon.poll() is not None]

        wait_for(lambda: condition() or has_ended())
        if ended := has_ended():
            raise OSError(f"ended at once: {', '.join(ended)}")

    def tell(self, *command: str) -> str:
        """What a command of SLURM's says. `no answer` while it fails: a busy controller is late to answer."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        return "no answer" if done.returncode else done.stdout

    def submit(self, *words: str, cwd: Path) -> str:
        """The number of a new job, by sbatch."""
        done = subprocess.run(["sbatch", "--parsable", *words], env=self.env, cwd=cwd, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def job(self, number: str) -> dict[str, str]:
        """What SLURM knows of a job."""
        words: list[str] = []
        wait_for(lambda: words.extend(self.tell("scontrol", "show", "job", number).split()) or "JobState" in str(words))
        return dict(word.partition("=")[::2] for word in words if "=" in word)

    def states(self, number: str) -> list[str]:
        """Those of a job or, of an array, of all its tasks."""
        return re.findall(r"JobState=(\w+)", self.tell("scontrol", "show", "job", number))

    def processes(self, job: str, node: str | None = None) -> list[psutil.Process]:
        """A job's processes, on one node or on all."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                env = process.environ()  # empty for a zombie
                ours = env.get("SLURM_CONF") == self.env["SLURM_CONF"] and env.get("SLURM_JOB_ID") == job
                if ours and "SLURMD_NODENAME" in env and node in (None, env["SLURMD_NODENAME"]):
                    found.append(process)
        return found

    def kill_node(self, node: str, job: str) -> None:
        """As when the power fails: SIGKILL for the node's daemon, and all that it runs of the job."""
        self._nodes[node].kill()
        self._nodes[node].wait()
        self._daemons.remove(self._nodes[node])
        tasks = self.processes(job, node)
        stepds = []
        for task in tasks:
            with suppress(psutil.NoSuchProcess):
                stepds += [parent for parent in task.parents() if parent.name() == "slurmstepd"]
        for process in [*stepds, *tasks]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def restart_node(self, node: str) -> None:
        self._start_node(node)
        wait_for(lambda: self.tell("sinfo", "-h", "-n", node, "-o", "%t").strip() == "idle")

    def end_jobs(self) -> None:
        if self.tell("squeue", "-h").strip():
            self.tell("scancel", "--user", getpass.getuser())
            wait_for(lambda: not self.tell("squeue", "-h").strip())

    def stop(self) -> None:
        self.end_jobs()
        self._end()

    def _end(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in self._daemons:
            daemon.wait(LONG_S)


def missing() -> list[str]:
    """The programs that are not installed."""
    return [program for program in PROGRAMS if _path(program) is None]


def _path(program: str) -> str | None:
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def free_ports(count: int) -> list[int]:
    """Below those that the system itself gives to whoever asks, which Ray does all the time, and Ray's of the jobs."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(10000, 20000)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            found = list({*found, port})
    return found


def wait_for(condition: Callable[[], Any], seconds: float = LONG_S) -> None:
    """Waits for what stays true once it is."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not after {seconds:g} s")
        time.sleep(0.2)
