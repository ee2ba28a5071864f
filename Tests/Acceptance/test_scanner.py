# Does a scanner that others wrote find anything amiss? mcp-authlab signs in, looks at every document and
# answer, and attacks; Bindery is as it is for people: TLS at the edge, an official server behind it.

import json
import os
import subprocess
import sys

import pytest
from system import ROOT, System, service
from test_clients import KEY, PROGRAMS, python
from test_tls import authority, certificate


@pytest.fixture
def real(tmp_path, monkeypatch):
    authority(tmp_path, "ours")
    certificate(tmp_path, "edge", "ours", "DNS:localhost,IP:127.0.0.1")
    (tmp_path / "edge.key").chmod(0o600)
    process = subprocess.Popen(
        [python(2), str(PROGRAMS / "server_mcp2.py"), "http", KEY, str(tmp_path / "record")],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    upstream = f"http://127.0.0.1:{process.stdout.readline().split()[1].decode()}/mcp"
    system = System([service("real", upstream), service("other", upstream)], {
        "TLS_CERTIFICATE_FILE": str(tmp_path / "edge.pem"), "TLS_KEY_FILE": str(tmp_path / "edge.key")})
    public = f"https://localhost:{system.port}"
    system.environment["PUBLIC_URL"] = system.settings["PUBLIC_URL"] = public
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ours.pem"))
    try:
        with system:
            system.origin = public
            yield system
    finally:
        process.kill()
        process.wait()


def test_the_scanner_finds_nothing(real, tmp_path):
    """It signs in twice and more; no remark, and nothing that it could not look at but sessions."""
    person = real.person()
    for name in ("real", "other"):
        person.connect(name, KEY, "managed")
    url, tool = f"{real.origin}/mcp/real", str(ROOT / ".venv-oauth" / "bin" / "mcp-authlab")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path),
        "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
        "BROWSER": f"{sys.executable} {PROGRAMS / 'agree.py'} %s",
        "AGREE_AS": json.dumps({"origin": real.origin, "email": person.email, "choice": {}})}
    done = subprocess.run(
        [tool, "login", url, "--foreign-resource", f"{real.origin}/mcp/other", "--thorough"],
        env=environment, capture_output=True, timeout=180)
    assert done.returncode == 0, (done.stdout[-2000:].decode(), done.stderr[-2000:].decode())
    done = subprocess.run([tool, "scan", url, "--format", "json", "--tool", "add"],
                          env=environment, capture_output=True, timeout=180)
    report = json.loads(done.stdout)
    found = {r["id"]: (r["status"], r["message"]) for r in report["results"]
             if r["status"] not in ("pass", "skip")}
    assert found == {} and done.returncode == 0
    assert report["grade"] == "A", report["grade"]
    passed = {r["id"] for r in report["results"] if r["status"] == "pass"}
    assert "TLS-01" in passed and len(passed) > 30, passed
    assert {r["id"] for r in report["results"] if r["status"] == "skip"} <= {"SESS-01", "SESS-02"}
