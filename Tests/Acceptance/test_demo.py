# The first quarter of an hour of a newcomer: `bindery demo`, the commands that it prints, and the
# README's walk, each run by a shell exactly as a person would paste it. Then the tool around it:
# status, a second start on the same folder, and the end.

import json
import os
import pathlib
import re
import signal
import subprocess

import pytest
from system import BIN, ROOT
from waiting import until

QUIET = {f"{name}_OPS_LISTEN": "127.0.0.1:0" for name in ("EDGE", "AUTH", "BILLING", "SCHEDULER")}


class Demo:
    """`bindery demo` in a folder of its own, with the settings' defaults but for its ports."""

    def __init__(self, folder):
        self.folder = folder
        self.settings = {"PATH": os.environ["PATH"], "EDGE_LISTEN": "127.0.0.1:0",
                         "AUTH_LISTEN": "none", "BILLING_LISTEN": "none", **QUIET}
        self.log = open(folder / "log", "ab")
        self.process = subprocess.Popen(
            [str(BIN / "bindery"), "demo"], cwd=folder, env=self.settings, stderr=self.log,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.said = ""

        def finished():
            self.said += (self.process.stdout.read() or b"").decode()
            assert self.process.poll() is None, (folder / "log").read_text()
            return "mcp-name: slow" in self.said and self.said.endswith("\n\n")

        until(finished, 60, "the demo's commands")
        self.origin = self.said.split()[1]

    def shell(self, commands):
        done = subprocess.run(["bash", "-ec", commands], cwd=self.folder, text=True, timeout=60,
                              env={"PATH": os.environ["PATH"]}, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tool(self, *words):
        return subprocess.run([str(BIN / "bindery"), *words], cwd=self.folder, env=self.settings
                              | {"EDGE_LISTEN": self.origin.removeprefix("http://")},
                              text=True, capture_output=True, timeout=30)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        self.log.close()
        return code


@pytest.fixture
def demo(tmp_path):
    running = Demo(tmp_path)
    yield running
    if running.process.poll() is None:
        assert running.stop() == 0


def messages(output):
    """The JSON-RPC messages in what curl printed: bare, or as events."""
    return [json.loads(text) for text in re.findall(r'\{"jsonrpc".*\}', output)]


def test_the_printed_commands_connect_the_demo_and_call_it(demo):
    output = demo.shell(demo.said.split("\n", 1)[1])
    assert f"{demo.origin}/mcp/demo/" in output
    echo, *steps, done = messages(output)
    assert echo["result"]["content"][0]["text"] == "hello"
    assert [step["params"]["progress"] for step in steps] == [1, 2, 3, 4, 5]
    assert done["result"]["content"][0]["text"] == "done after 5 steps"


def test_the_readme_walks_as_printed(demo):
    readme = (ROOT / "README.md").read_text()
    walk = next(block for block in re.findall(r"```sh\n(.*?)```", readme, re.S)
                if "/api/auth/register" in block)
    assert "http://127.0.0.1:8080" in walk
    output = demo.shell(walk.replace("http://127.0.0.1:8080", demo.origin))
    by_url, by_key, afterwards = messages(output)
    for answer in (by_url, by_key):
        assert answer["result"]["content"][0]["text"] == "hello"
    assert afterwards["error"]["code"] == -32001
    assert '"success":true' in output


def test_status_tells_that_all_are_ready_and_that_none_is(demo):
    found = demo.tool("status")
    assert found.returncode == 0, found.stdout + found.stderr
    services = ("edge", "auth", "billing", "scheduler")
    # Below a service stand the lines of its keys and jobs.
    assert [line.split()[:2] for line in found.stdout.splitlines()
            if line.startswith(services)] == [[name, "ready"] for name in services]
    answers = json.loads(demo.tool("status", "--json").stdout)
    assert all(answer["answer"]["ready"] for answer in answers)
    assert demo.stop() == 0
    gone = demo.tool("status")
    assert gone.returncode == 1 and gone.stdout.count("no answer") == 4


def test_a_connection_outlives_a_restart_of_the_demo(demo):
    output = demo.shell(demo.said.split("\n", 1)[1].split("# and one")[0])
    path = re.search(r"/mcp/demo/\S+", output).group()
    first = (demo.folder / "var/data/demo-key").read_text()
    assert demo.stop() == 0
    again = Demo(demo.folder)
    try:
        assert (demo.folder / "var/data/demo-key").read_text() == first
        call = again.said.split("# 3. call a tool through the edge\n")[1].split("# and one")[0]
        answer, = messages(again.shell(f"URL={again.origin}{path}\n{call}"))
        assert answer["result"]["content"][0]["text"] == "hello"
    finally:
        assert again.stop() == 0


def test_a_second_up_on_the_same_folder_is_refused(demo):
    second = demo.tool("up")
    assert second.returncode == 1 and second.stdout == ""
    assert "another bindery up" in second.stderr


def test_nobody_is_left_when_the_parent_is_killed(demo):
    children = [int(pid) for task in
                pathlib.Path(f"/proc/{demo.process.pid}/task").glob("*/children")
                for pid in task.read_text().split()]
    assert len(children) == 4
    demo.process.kill()
    demo.process.wait()

    def gone(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    until(lambda: all(map(gone, children)), 10, "the end of the children")


@pytest.mark.parametrize("words, status", [
    (["--help"], 0), (["up", "--help"], 0), (["demo", "--help"], 0), (["settings"], 0),
    (["generate-key"], 0), ([], 2), (["nonsense"], 2), (["up", "--nonsense"], 2),
])
def test_the_tool_ends_with_the_documented_status(words, status):
    done = subprocess.run([str(BIN / "bindery"), *words], cwd="/", env={}, capture_output=True,
                          timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == status


def test_a_wrong_setting_is_one_line_and_status_78(tmp_path):
    for name, value in [("EDGE_LISTEN", "c4n4ry"), ("BINDERY_DATADIR", "c4n4ry"),
                        ("MANAGED_ENCRYPTION_KEYS", '[{"key":"c4n4ry"}]'),
                        ("STRIPE_SECRET_KEY", "c4n4ry with blanks")]:
        for command in ("up", "demo"):
            done = subprocess.run([str(BIN / "bindery"), command], cwd=tmp_path, env={name: value},
                                  capture_output=True, text=True, timeout=30)
            assert done.returncode == 78, (name, command, done)
            assert done.stderr.count("\n") == 1 and done.stderr.startswith(name), done.stderr
            assert "c4n4ry" not in done.stderr + done.stdout
