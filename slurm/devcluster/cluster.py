"""The daemons of one virtual cluster: configuration, start, stop, and what drills do to them."""

import fcntl
import json
import os
import pwd
import random
import shlex
import shutil
import signal
import socket
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template

from processes import Failure, find, is_free, is_running, kill, proc, try_for, wait

HERE = Path(__file__).resolve().parent
NODES = ("cpu1", "cpu2", "cpu3", "cpu4", "gpu1", "gpu2")
LONGEST = 70  # path of a state folder: sockets below it must fit into 107 bytes
PORTS = 200  # of a cluster: controller, accounting, nodes, and four for each srun at work
RANGES = range(20_000, 32_000, PORTS)  # below what Linux gives to outgoing connections
SBIN = ":/usr/sbin:/sbin"
PACKAGES = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "munged": "munge",
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server-core",
    "mariadb": "mariadb-client-core",
}
ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$dbd_port
AccountingStoragePass=$state/run/munged.sock
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=associations,limits,qos
"""


class Cluster:
    """The daemons of one state folder. Only processes that name this folder are ever touched."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.conf = state / "etc" / "slurm.conf"
        self.db_socket = state / "run" / "mariadbd.sock"
        self.env = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin") + SBIN,
            "HOME": str(Path.home()),
            "LANG": "C.UTF-8",
            "SLURM_CONF": str(self.conf),
            "MYSQL_UNIX_PORT": str(self.db_socket),  # where libmariadb looks
        }

    # Settings: chosen at the first start, kept in the state folder

    @property
    def settings(self) -> dict:
        path = self.state / "settings.json"
        if not path.exists():
            raise Failure(f"nothing was started in {self.state}")
        return json.loads(path.read_text())

    def _choose(self, accounting: bool) -> None:
        former = self.settings if (self.state / "settings.json").exists() else {}
        if former and former["accounting"] != accounting and self._pid("slurmctld"):
            raise Failure("it runs " + ("without" if accounting else "with")
                          + " accounting: stop it first")
        asked = os.environ.get("REPRO_DEVCLUSTER_PORT")
        if asked is not None and not asked.isdigit():
            raise Failure(f"REPRO_DEVCLUSTER_PORT: expected a port number, got {asked!r}")
        port = int(asked) if asked else former.get("port") or self._free_ports()
        # random: submitit names its files after job ids, and would read those of a former cluster
        first = former.get("first_job_id") or random.randint(1000, 60_000_000)
        chosen = {"port": port, "accounting": accounting, "first_job_id": first}
        (self.state / "settings.json").write_text(json.dumps(chosen) + "\n")

    def _free_ports(self) -> int:
        """Return the first port of a range in which those of all daemons are free."""
        first = zlib.crc32(str(self.state).encode())  # two that start at once look elsewhere
        for number in range(first, first + len(RANGES)):
            base = RANGES[number % len(RANGES)]
            if all(is_free(base + offset) for offset in range(2 + len(NODES))):
                return base
        raise Failure(f"no free ports between {RANGES[0]} and {RANGES[-1]}")

    def _render(self) -> None:
        port = self.settings["port"]
        nodes = port + 2
        values = {
            "state": self.state,
            "host": socket.gethostname().partition(".")[0],
            "user": self.user,
            "ctld_port": port,
            "dbd_port": port + 1,
            "srun_ports": f"{port + 10}-{port + PORTS - 1}",
            "cpu_nodes": "cpu[1-4]",
            "gpu_nodes": "gpu[1-2]",
            "cpu_ports": f"[{nodes}-{nodes + 3}]",
            "gpu_ports": f"[{nodes + 4}-{nodes + 5}]",
            "first_job_id": self.settings["first_job_id"],
        }
        with_accounting = ACCOUNTING if self.settings["accounting"] else ""
        values["accounting"] = Template(with_accounting).substitute(values)
        for name in ("slurm.conf", "slurmdbd.conf", "gres.conf"):
            path = self.state / "etc" / name
            path.touch(mode=0o600)
            path.write_text(Template((HERE / f"{name}.in").read_text()).substitute(values))
        self.conf.chmod(0o644)

    # Commands

    def start(self, accounting: bool = True) -> None:
        missing = [command for command in PACKAGES if not program(command)]
        if missing:
            raise Failure(f"no {', '.join(missing)} here: `devcluster install`, as root")
        if len(str(self.state)) > LONGEST:
            raise Failure(f"{self.state}: path longer than {LONGEST} characters; set "
                          "REPRO_DEVCLUSTER to a shorter one")
        for name in ("etc", "run", "log", "spool", "ctld", "db"):
            (self.state / name).mkdir(parents=True, exist_ok=True, mode=0o755)
        with self._alone():
            self._choose(accounting)
            self._render()
            self._start_munged()
            if accounting:
                self._start_database()
                self.dbd_start()
                self._add_accounts()
            self.ctld_start()
            for node in NODES:
                self._start_slurmd(node)
            for node in NODES:
                self._mend(node)
            wait(60, lambda: all(self._usable(node) for node in NODES),
                  f"not all nodes came up: see {self.state}/log")

    def stop(self) -> None:
        if not (self.state / "settings.json").exists():
            return
        with self._alone():
            if self._pid("slurmctld") and self._answers("scontrol", "ping"):
                self._call("scancel", f"--user={self.user}", "--quiet", check=False)
                try_for(15, lambda: not self._call("squeue", "--noheader", check=False))
            self._end("slurmctld", *NODES)
            for node in NODES:
                kill(self._processes_of(node))
            self._end("slurmdbd")
            self._end("mariadbd")
            self._end("munged")

    def status(self) -> int:
        daemons = ["munged", "slurmctld", *NODES]
        if self.settings["accounting"]:
            daemons[1:1] = ["mariadbd", "slurmdbd"]
        pids = {daemon: self._pid(daemon) for daemon in daemons}
        for daemon, pid in pids.items():
            print(f"{daemon:<10} {f'up, pid {pid}' if pid else 'down'}")
        return 0 if all(pids.values()) else 3

    def print_env(self) -> None:
        if not self.conf.exists():
            raise Failure(f"nothing was started in {self.state}")
        print(f"export SLURM_CONF={shlex.quote(str(self.conf))}")

    def node_kill(self, node: str) -> None:
        """End a node as a power cut would, and tell the controller at once, as a site's watchdog
        does (by itself it would notice after SlurmdTimeout)."""
        _check(node)
        kill(self._processes_of(node))
        self._call("scontrol", "update", f"nodename={node}", "state=down", "reason=killed")

    def node_start(self, node: str) -> None:
        _check(node)
        self._start_slurmd(node)
        wait(30, lambda: self._mend(node) or self._usable(node), f"{node} did not come up")

    def ctld_stop(self) -> None:
        self._end("slurmctld")

    def ctld_start(self) -> None:
        if not self._pid("slurmctld"):
            self._daemon("slurmctld", "-f", str(self.conf))
        wait(30, lambda: self._answers("scontrol", "ping"),
              f"slurmctld does not answer: see {self.state}/log/slurmctld.log")

    def dbd_stop(self) -> None:
        self._end("slurmdbd")

    def dbd_start(self) -> None:
        if not self.settings["accounting"]:
            raise Failure("it was started with --no-accounting")
        if not self._pid("slurmdbd"):
            self._daemon("slurmdbd")
        wait(60, lambda: self._answers("sacctmgr", "show", "cluster"),
              f"slurmdbd does not answer: see {self.state}/log/slurmdbd.log")

    # Starting

    def _start_munged(self) -> None:
        if self._pid("munged"):
            return
        key = self.state / "etc" / "munge.key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(os.urandom(1024))
        run, log = self.state / "run", self.state / "log"
        # --force: a state folder closed to other users is fine, all daemons are of one user
        self._daemon("munged", "--force", f"--key-file={key}", f"--socket={run}/munged.sock",
                     f"--pid-file={run}/munged.pid", f"--log-file={log}/munged.log",
                     f"--seed-file={self.state}/etc/munge.seed", "--num-threads=2")
        wait(5, (run / "munged.sock").is_socket, f"munged: see {log}/munged.log")

    def _start_database(self) -> None:
        data, log = self.state / "db", self.state / "log"
        if not (data / "mysql").is_dir():
            self._call("mariadb-install-db", "--no-defaults", f"--user={self.user}",
                       f"--datadir={data}", "--skip-test-db",
                       "--auth-root-authentication-method=socket")
        if not self._pid("mariadbd"):
            self._daemon(  # of a toy: what a power cut would cost does not matter
                "mariadbd", "--no-defaults", f"--user={self.user}", f"--datadir={data}",
                f"--socket={self.db_socket}", "--skip-networking", "--skip-log-bin",
                f"--pid-file={self.state}/run/mariadbd.pid", f"--log-error={log}/mariadbd.log",
                "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M",
                "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF",
                "--innodb-flush-method=nosync", "--innodb-lock-wait-timeout=900",
                "--performance-schema=OFF", "--sync-frm=OFF", wait=False,
            )
        wait(60, lambda: self._answers("mariadb", "--no-defaults", "-e", "select 1"),
              f"mariadbd does not answer: see {log}/mariadbd.log")

    def _add_accounts(self) -> None:
        """Make cluster, account and qos known before the controller asks for them."""
        if self._call("sacctmgr", "-nP", "show", "account", "dev", "format=account"):
            return
        for words in (
            "add cluster devcluster",
            "add qos high set Priority=100",
            "add qos short set MaxWall=00:10:00 Flags=DenyOnLimit",
            "add account dev Cluster=devcluster",
            f"add user {self.user} Account=dev DefaultAccount=dev",
            f"modify user {self.user} set qos=normal,high,short defaultqos=normal",
        ):
            # exit code 1 also means that there was nothing to add
            self._call("sacctmgr", "--immediate", "--quiet", *words.split(), check=False)
        if not self._call("sacctmgr", "-nP", "show", "account", "dev", "format=account"):
            raise Failure(f"no account could be added: see {self.state}/log/slurmdbd.log")

    def _start_slurmd(self, node: str) -> None:
        if not self._pid(node):
            (self.state / "spool" / node).mkdir(exist_ok=True)
            self._daemon("slurmd", "-N", node, "-f", str(self.conf))

    def _mend(self, node: str) -> None:
        """Give a node back that was set down, lost or drained."""
        if any(word in self._node_state(node) for word in ("down", "drain", "fail")):
            self._call("scontrol", "update", f"nodename={node}", "state=resume", check=False)

    def _usable(self, node: str) -> bool:
        return self._node_state(node) in ("idle", "mixed", "allocated", "completing")

    def _node_state(self, node: str) -> str:
        return self._call("sinfo", "-h", "-n", node, "-o", "%T", check=False).split("\n")[0]

    # Processes

    def _daemon(self, *argv: str, wait: bool = True) -> None:
        """Start a program that goes to the background by itself (wait), or stays with us."""
        log = self.state / "log" / f"{argv[0]}.start.log"
        with open(log, "ab") as file:
            started = subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=file, start_new_session=True, cwd="/")
        if wait and started.wait():
            said = log.read_text(errors="replace").strip().split("\n")[-1]
            raise Failure(f"{argv[0]} did not start: {said} ({log})")

    def _call(self, *argv: str, check: bool = True) -> str:
        """Return what a client program prints, "" when it fails and that is allowed."""
        try:
            done = subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=60,
                                  stdin=subprocess.DEVNULL, check=False)
        except subprocess.TimeoutExpired:
            raise Failure(f"{argv[0]}: no answer in 60 s") from None
        if done.returncode and check:
            raise Failure(f"{shlex.join(argv)}: {done.stderr.strip()}")
        return "" if done.returncode else done.stdout.strip()

    def _answers(self, *argv: str) -> bool:
        return subprocess.run(argv, env=self.env, capture_output=True, check=False).returncode == 0

    def _pid(self, daemon: str) -> int | None:
        """Return the process of a daemon (or of a node's slurmd) if it lives and is ours."""
        path = self.state / "run" / f"{daemon}.pid"
        try:
            pid = int(path.read_text())
            comm = Path(f"/proc/{pid}/comm").read_text().strip()
        except (OSError, ValueError):
            return None
        named = comm == ("slurmd" if daemon in NODES else daemon)
        return pid if named and is_running(pid) and self._is_ours(pid) else None

    def _is_ours(self, pid: int) -> bool:
        mark = f"{self.state}/".encode()
        return mark in proc(pid, "cmdline") or mark in proc(pid, "environ")

    def _processes_of(self, node: str) -> set[int]:
        """Return the jobs' processes on a node, their shepherds and the node's slurmd (which hold
        its log open)."""
        variables = f"SLURMD_NODENAME={node}", f"SLURM_CONF={self.conf}"
        return find(variables, file=str(self.state / "log" / f"{node}.log"))

    def _end(self, *daemons: str) -> None:
        """Ask daemons to end, all at once; kill those that have not after ten seconds."""
        pids = {pid for daemon in daemons if (pid := self._pid(daemon))}
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        if not try_for(10, lambda: not any(map(is_running, pids))):
            kill(pids)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with open(self.state / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def program(name: str) -> str | None:
    """Return where a program is, None when it is not installed."""
    return shutil.which(name, path=os.environ.get("PATH", "/usr/bin:/bin") + SBIN)


def _check(node: str) -> None:
    if node not in NODES:
        raise Failure(f"no node {node!r}; there are {', '.join(NODES)}")
