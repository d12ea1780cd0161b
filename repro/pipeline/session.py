"""submitit's local executor, its controller in a session, an environment and a log of its own."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from submitit.local.local import LocalExecutor, LocalJob

_FOREVER_S = 10**9


class SessionExecutor(LocalExecutor):
    """Starts one job that no signal to the driver's terminal or process group reaches.

    child: the controller's process, once `submit` was called.
    """

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        super().__init__(folder)
        self.env = env
        self.child: subprocess.Popen[bytes]

    def _submit_command(self, command: str) -> LocalJob[Any]:
        env = self.env | {
            "SUBMITIT_EXECUTOR": "local",
            "SUBMITIT_LOCAL_COMMAND": command,
            "SUBMITIT_LOCAL_NTASKS": "1",
            "SUBMITIT_LOCAL_JOB_NUM_NODES": "1",
            "SUBMITIT_LOCAL_NODEID": "0",
            "SUBMITIT_LOCAL_TIMEOUT_S": str(_FOREVER_S),
            "SUBMITIT_LOCAL_SIGNAL_DELAY_S": "30",
            "SUBMITIT_LOCAL_WITH_SHELL": "",
            "SUBMITIT_STDERR_TO_STDOUT": "1",
        }
        with open(self.folder / "controller.log", "ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "submitit.local._local", str(self.folder)],
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        return LocalJob(folder=self.folder, job_id=str(self.child.pid), tasks=[0])

    @property
    def _submitit_command_str(self) -> str:
        return shlex.join([sys.executable, "-u", "-m", "submitit.core._submit", str(self.folder)])
