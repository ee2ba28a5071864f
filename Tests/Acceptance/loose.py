# The services without `bindery up`: each is a process of its own, as containers are, so that one can be
# killed and started again at once, or be there twice by mistake.

import os
import subprocess

from system import BIN, System, free_port
from waiting import until
from wire import Wire


class Loose(System):
    """A system whose services are started one by one."""
    wanted = ("scheduler", "auth", "edge")
    processes = None

    def start(self, seconds=60):
        if not (self.data / "managed-keys.json").exists():
            super().start(seconds)  # makes keys and databases
            assert super().stop() == 0
        self.log_file = open(self.log, "ab")
        self.processes = {}
        for name in self.wanted:
            self.launch(name)
        for name in self.wanted:
            self.wait_until_ready(name, seconds)
        self.origin = f"http://127.0.0.1:{self.port}"
        return self

    def environment_of(self, name):
        if name != "auth":
            return self.environment
        return self.environment | {
            "MANAGED_ENCRYPTION_KEYS_FILE": str(self.data / "managed-keys.json")}

    def launch(self, name):
        self.processes[name] = subprocess.Popen(
            [str(BIN / f"bindery-{name}")], env=self.environment_of(name), cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log_file)

    def is_ready(self, name):
        assert self.processes[name].poll() is None, f"{name} ended: {self.tail()}"
        try:
            return self.fetch(self.ops[name], "/readyz")[0] == 200
        except OSError:
            return False

    def wait_until_ready(self, name, seconds=30):
        until(lambda: self.is_ready(name), seconds, f"a ready {name}")

    def kill(self, name):
        self.processes[name].kill()
        self.processes[name].wait()

    def pids(self):
        if self.processes is None:
            return super().pids()
        return {name: process.pid for name, process in self.processes.items()}

    def stop(self, seconds=45):
        status = 0
        for name in ("edge", "auth", "scheduler"):
            process = self.processes[name]
            if process.poll() is None:
                process.send_signal(18)  # SIGCONT
                process.terminate()
                try:
                    process.wait(seconds)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            status = status or process.returncode
        self.log_file.close()
        return status


class Twin:
    """A second edge and a second scheduler on the data of a running system: somebody started them
    with a run folder of their own."""

    def __init__(self, system):
        self.system, self.folder = system, system.folder / "twin"
        self.folder.mkdir(mode=0o750)
        for file in system.run.iterdir():  # what auth listens on and shares
            if file.name == "epochs":
                os.link(file, self.folder / file.name)
            elif file.name.startswith("auth."):
                os.symlink(file, self.folder / file.name)
        self.port, self.ops = free_port(), {n: free_port() for n in ("edge", "scheduler")}
        self.environment = system.environment | {
            "BINDERY_RUN_DIR": str(self.folder), "PUBLIC_URL": system.origin,
            "EDGE_LISTEN": f"127.0.0.1:{self.port}",
            **{f"{name.upper()}_OPS_LISTEN": f"127.0.0.1:{port}" for name, port in self.ops.items()}}
        self.processes = {name: subprocess.Popen(
            [str(BIN / f"bindery-{name}")], env=self.environment, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=system.log_file)
            for name in self.ops}
        for name in self.ops:
            until(lambda: self.is_ready(name), 30, f"a second {name}")

    def is_ready(self, name):
        assert self.processes[name].poll() is None, f"the second {name} ended"
        try:
            return self.system.fetch(self.ops[name], "/readyz")[0] == 200
        except OSError:
            return False

    def call(self, grant, body=b'{"jsonrpc":"2.0","id":1,"method":"ping"}', timeout=90):
        """A request through the second edge."""
        with Wire(("127.0.0.1", self.port), timeout=timeout) as wire:
            grant.post(wire, body)
            return wire.answer()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(35)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
