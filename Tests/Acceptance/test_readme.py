# Does the walk in the README work as it is printed? The commands are taken out of the document and
# run against `bindery demo`; only the port is another. What the demo prints itself is tried too.

import os
import re
import signal
import subprocess
import tempfile

import pytest
from system import BIN, ROOT, SERVICES, free_port
from waiting import until


@pytest.fixture
def demo():
    """A running `bindery demo` in a folder of its own; gives what it printed."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bnd") as folder:
        settings = {"EDGE_LISTEN": f"127.0.0.1:{port}", "AUTH_LISTEN": "none",
                    "BILLING_LISTEN": "none", "PATH": "/usr/bin:/bin",
                    **{f"{n.upper()}_OPS_LISTEN": f"127.0.0.1:{free_port()}" for n in SERVICES}}
        with open(f"{folder}/out", "w+") as out, open(f"{folder}/log", "w+") as log:
            process = subprocess.Popen([str(BIN / "bindery"), "demo"], cwd=folder, env=settings,
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=log)

            def printed():
                assert process.poll() is None, open(log.name).read()[-2000:]
                text = open(out.name).read()
                return text if f"ready http://127.0.0.1:{port}" in text else None

            try:
                until(printed, 30, "the ready line")
                yield folder, f"http://127.0.0.1:{port}", lambda: open(out.name).read()
                process.send_signal(signal.SIGTERM)
                assert process.wait(40) == 0, "a clean stop"
            finally:
                process.kill()
                process.wait()


def shell(commands, folder):
    done = subprocess.run(["bash", "-eu", "-c", commands], cwd=folder, capture_output=True,
                          timeout=60)
    assert done.returncode == 0, done
    return done.stdout.decode()


def test_the_walk_of_the_readme_works_as_printed(demo):
    folder, origin, _ = demo
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    walk = next(block for block in blocks if "/api/auth/register" in block)
    assert "http://127.0.0.1:8080" in walk
    said = shell(walk.replace("http://127.0.0.1:8080", origin), folder)
    assert said.count("hello") == 2, said
    assert '"success":true' in said.replace(" ", "")
    assert "-32001" in said.splitlines()[-1], "the connection is dead at once"
    assert said.index("hello") < said.index("success") < said.index("-32001")


def test_deploy_run_ends_in_the_ready_line_from_any_folder(tmp_path):
    """The first command of the README, on a tree that is built."""
    port = free_port()
    settings = {name: os.environ[name] for name in ("PATH", "HOME", "SWIFT") if name in os.environ}
    settings |= {"EDGE_LISTEN": f"127.0.0.1:{port}", "AUTH_LISTEN": "none", "BILLING_LISTEN": "none",
                 **{f"{n.upper()}_OPS_LISTEN": f"127.0.0.1:{free_port()}" for n in SERVICES}}
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen([str(ROOT / "deploy" / "run")], cwd=tmp_path, env=settings,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        try:
            assert process.stdout.readline() == f"ready http://127.0.0.1:{port}\n".encode()
            assert (tmp_path / "var" / "data" / "managed-keys.json").stat().st_mode & 0o777 == 0o600
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0 and process.stdout.read() == b"", "one line and no more"
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def test_what_the_demo_prints_works_as_printed(demo):
    folder, origin, printed = demo
    text = until(lambda: "curl" in printed() and printed(), 5, "the commands")
    commands = "\n".join(line for line in text.splitlines()
                         if not line.startswith(("ready ", "#")) and line.strip())
    said = shell(commands, folder)
    assert "hello" in said or "result" in said, said
