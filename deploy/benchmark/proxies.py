"""The measured proxies: how each is configured, started, counted and stopped.

Each has one worker or thread, keeps connections alive on both sides, buffers nothing and logs no
request. Bindery is the whole running system with every feature of its request path on.
"""

import base64
import hashlib
import http.client
import json
import os
import re
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

PROXY_CORE = 0
LOAD_CORE = 1


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what, seconds=30.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.01)
    raise RuntimeError(f"{what}: not within {seconds:.0f} s")


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def start(arguments, core, log=None, **options):
    """Starts a process on one core, with all descriptors it may have and equal priority."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def prepare():
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        os.sched_setaffinity(0, core if isinstance(core, set) else {core})
        try:
            os.setpriority(os.PRIO_PROCESS, 0, -15)
        except PermissionError:
            pass

    options.setdefault("stdout", log or subprocess.DEVNULL)
    options.setdefault("stderr", log or subprocess.DEVNULL)
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen([str(a) for a in arguments], preexec_fn=prepare, **options)


def stop(process, seconds=40):
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def descendants(pid):
    """The process and all below it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            parents[int(entry)] = int(stat.rsplit(") ", 1)[1].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def processor_seconds(pids):
    """CPU time spent so far by all threads of the processes, user and system, exact."""
    total = 0
    for pid in pids:
        try:  # clock_getcpuclockid(3): the scheduler's count, up to date also for who runs now
            total += time.clock_gettime_ns(~pid << 3 | 2)
        except OSError:
            continue
    return total / 1e9


def ahead_of_others(pids, on):
    """Real-time priority for all threads of the processes, where that is allowed."""
    policy, level = (os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, 1) if on else (os.SCHED_OTHER, 0)
    for pid in pids:
        # We ourselves come first, or a spinning load would keep us from reading clocks in time.
        above = 1 if on and pid == os.getpid() else 0
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setscheduler(int(thread), policy, os.sched_param(level + above))
        except OSError:
            continue


def resident_kib(pids):
    """(RSS, PSS) of the processes together, KiB."""
    rss = pss = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                rss += int(line.split()[1])
            elif line.startswith("Pss:"):
                pss += int(line.split()[1])
    return rss, pss


class Upstream:
    """Where the load generator's own upstream listens while it runs."""

    def __init__(self, folder, tls):
        self.port, self.tls, self.folder = free_port(), tls, folder

    def as_arguments(self):
        pair = ["-c", self.folder / "server.pem", self.folder / "server.key"] if self.tls else []
        return ["-u", self.port, *pair]


class UpstreamProcess:
    """The same upstream as a process of its own."""

    def __init__(self, folder):
        self.process = start([folder / "upstream", "127.0.0.1", 0], LOAD_CORE,
                             stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        stop(self.process)


class Proxy:
    """A started proxy: where to send requests and which processes to charge."""

    name = ""
    path = "/mcp/bench"
    bearer = "bnd_live_" + "A" * 86

    def __init__(self, folder, upstream_port, tls):
        self.folder, self.upstream_port, self.tls = folder, upstream_port, tls
        self.port = free_port()
        self.process = None
        self.log = open(folder / f"{self.name}{'-tls' if tls else ''}.log", "ab")
        self.launch()

    def pids(self):
        return descendants(self.process.pid)

    def all_pids(self):
        return self.pids()

    def stop(self):
        stop(self.process)
        self.log.close()


class Nginx(Proxy):
    name = "nginx"

    def launch(self):
        home = self.folder / f"nginx{'-tls' if self.tls else ''}"
        home.mkdir(exist_ok=True)
        f, scheme = self.folder, "https" if self.tls else "http"
        server_tls = (
            f"ssl_certificate {f}/server.pem; ssl_certificate_key {f}/server.key;"
            " ssl_protocols TLSv1.2 TLSv1.3;" if self.tls else "")
        upstream_tls = (
            f"proxy_ssl_trusted_certificate {f}/ca.pem; proxy_ssl_verify on;"
            " proxy_ssl_name localhost; proxy_ssl_server_name on;"
            " proxy_ssl_protocols TLSv1.2 TLSv1.3;" if self.tls else "")
        (home / "nginx.conf").write_text(f"""
            daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;
            {"user root;" if os.geteuid() == 0 else ""}
            worker_rlimit_nofile 20000;
            events {{ worker_connections 19000; }}
            http {{
              access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
              client_body_temp_path {home}/b; proxy_temp_path {home}/p;
              fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
              tcp_nodelay on;
              upstream backend {{
                server 127.0.0.1:{self.upstream_port};
                keepalive 512; keepalive_requests 1000000000; keepalive_timeout 600s;
              }}
              server {{
                listen 127.0.0.1:{self.port} backlog=4096 {"ssl" if self.tls else ""};
                {server_tls}
                location / {{
                  proxy_pass {scheme}://backend; proxy_http_version 1.1;
                  proxy_set_header Connection ""; proxy_buffering off;
                  proxy_request_buffering off; proxy_read_timeout 600s;
                  {upstream_tls}
                }}
              }}
            }}""")
        self.process = start(
            [shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-p", home, "-c",
             home / "nginx.conf"], PROXY_CORE, log=self.log)
        wait_until(lambda: accepts(self.port), "nginx")


class HAProxy(Proxy):
    name = "haproxy"

    def launch(self):
        f, config = self.folder, self.folder / f"haproxy{'-tls' if self.tls else ''}.cfg"
        bind_tls = f"ssl crt {f}/server-and-key.pem" if self.tls else ""
        server_tls = (
            f"ssl verify required ca-file {f}/ca.pem sni str(localhost)"
            " verifyhost localhost" if self.tls else "")
        config.write_text(f"""
global
  nbthread 1
  maxconn 9500
  tune.ssl.default-dh-param 2048
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout tunnel 600s
  option http-no-delay
  no log
frontend edge
  bind 127.0.0.1:{self.port} backlog 4096 {bind_tls}
  default_backend upstream
backend upstream
  http-reuse always
  server one 127.0.0.1:{self.upstream_port} {server_tls}
""")
        self.process = start(
            [shutil.which("haproxy", path="/usr/sbin:/usr/bin"), "-db", "-f", config],
            PROXY_CORE, log=self.log)
        wait_until(lambda: accepts(self.port), "haproxy")


class PythonProxy(Proxy):
    """The published mcp-proxy: HTTP to stdio, and a second one from stdio to HTTP."""

    name = "mcp-proxy"
    path = "/mcp"
    executable = None

    def launch(self):
        inner = [self.executable, "--transport", "streamablehttp",
                 f"http://127.0.0.1:{self.upstream_port}/mcp"]
        self.process = start(
            [self.executable, "--host", "127.0.0.1", "--port", self.port, "--stateless", "--",
             *inner], PROXY_CORE, log=self.log)
        wait_until(lambda: accepts(self.port), "mcp-proxy")


class Bindery(Proxy):
    """The running system; requests carry a real credential of a zero-knowledge connection."""

    name = "bindery"
    binaries = None

    def environment(self):
        scheme = "https" if self.tls else "http"
        home = self.folder / f"bindery{'-tls' if self.tls else ''}"
        home.mkdir(exist_ok=True)
        host = "localhost" if self.tls else "127.0.0.1"
        catalogue = home / "providers.json"
        catalogue.write_text(json.dumps({"services": [{
            "id": "bench", "name": "Bench", "transport": "streamable-http",
            "mcp_url": f"{scheme}://{host}:{self.upstream_port}/mcp",
            "api_key": {"header": "Authorization", "format": "Bearer {key}",
                        "instructions": "any", "validate": {"method": "none"}}}]}))
        settings = {
            "BINDERY_DATA_DIR": home / "data", "BINDERY_RUN_DIR": home / "run",
            "EDGE_LISTEN": f"127.0.0.1:{self.port}", "EDGE_THREADS": 1,
            "AUTH_LISTEN": "none", "BILLING_LISTEN": "none", "PROVIDERS_FILE": catalogue,
            "PUBLIC_URL": f"{scheme}://127.0.0.1:{self.port}", "LOG_LEVEL": "info",
            "TRUSTED_PROXIES": "127.0.0.1/32",
        }
        for service in ("EDGE", "AUTH", "BILLING", "SCHEDULER"):
            settings[f"{service}_OPS_LISTEN"] = f"127.0.0.1:{free_port()}"
        if self.tls:
            settings |= {"TLS_CERTIFICATE_FILE": self.folder / "server.pem",
                         "TLS_KEY_FILE": self.folder / "server.key",
                         "UPSTREAM_CA_FILE": self.folder / "ca.pem"}
        inherited = {k: os.environ[k] for k in ("PATH", "HOME", "LANG") if k in os.environ}
        return inherited | {k: str(v) for k, v in settings.items()}

    def launch(self):
        self.settings = self.environment()
        self.process = start(
            [self.binaries / "bindery", "up"], {PROXY_CORE, LOAD_CORE}, stderr=self.log,
            stdout=subprocess.PIPE, env=self.settings, cwd=self.folder)
        line = self.process.stdout.readline().decode()
        if not line.startswith("ready "):
            raise RuntimeError(f"bindery did not get ready, see {self.log.name}")
        for pid in descendants(self.process.pid):
            core = PROXY_CORE if self.is_edge(pid) else LOAD_CORE
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), {core})
        self.connect()

    @staticmethod
    def is_edge(pid):
        try:
            return Path(f"/proc/{pid}/exe").readlink().name == "bindery-edge"
        except OSError:
            return False

    def pids(self):
        return [pid for pid in descendants(self.process.pid) if self.is_edge(pid)]

    def all_pids(self):
        return descendants(self.process.pid)

    def ask(self, path, body=None, **headers):
        """One request to Bindery; redirects are not followed. The opened answer."""
        context = ssl.create_default_context(cafile=self.folder / "ca.pem") if self.tls else None
        opener = urllib.request.build_opener(
            NoRedirects, urllib.request.HTTPSHandler(context=context))
        return opener.open(urllib.request.Request(
            self.settings["PUBLIC_URL"] + path, body, headers), timeout=30)

    def call(self, path, body, token=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with self.ask(path, json.dumps(body).encode(), **headers,
                      **{"Content-Type": "application/json"}) as answer:
            self.cookie = (answer.headers.get("Set-Cookie") or self.cookie).split(";")[0]
            return json.load(answer)

    def connect(self):
        self.cookie = ""
        account = self.call("/api/auth/register", {
            "email": f"bench-{time.time_ns()}@example.com", "password": "correct horse battery staple"})
        made = self.call("/api/connections/bench/api-key", {
            "api_key": "upstream-key-of-the-benchmark", "key_storage_mode": "zero_knowledge"},
            account["access_token"])
        self.bearer = made["api_key"]
        self.path_with_secret = "/" + made["secret_url"].split("/", 3)[3]
        self.connection = made["connection"]["id"]

    def share_cores(self):
        """Lifts the ties to cores: everything runs wherever there is room."""
        for pid in self.all_pids():
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), {PROXY_CORE, LOAD_CORE})

    def sign_ins(self, people):
        return SignIns(self, people)

    def authorize(self):
        """An access token for the same connection, as an MCP client gets it: consent, code, exchange."""
        redirect, verifier = "http://127.0.0.1:9/callback", "v" * 43
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        path = "/oauth/authorize?" + urllib.parse.urlencode({
            "response_type": "code", "client_id": "bindery-mcp", "redirect_uri": redirect,
            "code_challenge": challenge.rstrip(b"=").decode(), "code_challenge_method": "S256",
            "resource": self.settings["PUBLIC_URL"] + self.path, "scope": "mcp"})
        with self.ask(path, Cookie=self.cookie) as page:
            fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"',
                                     page.read().decode()))
        choice = fields | {"decision": "allow", "connection": self.connection,
                           "credential": self.bearer}
        with self.ask(path, urllib.parse.urlencode(choice).encode(), Cookie=self.cookie,
                      Origin=self.settings["PUBLIC_URL"]) as answer:
            back = urllib.parse.urlsplit(answer.headers["Location"])
        with self.ask("/oauth/token", urllib.parse.urlencode({
                "grant_type": "authorization_code", "client_id": "bindery-mcp",
                "code": urllib.parse.parse_qs(back.query)["code"][0], "redirect_uri": redirect,
                "code_verifier": verifier}).encode()) as answer:
            return json.load(answer)["access_token"]


class SignIns:
    """So many people sign in at once, each from a network of their own, again and again, with wrong
    passwords: these cost as much as right ones."""

    def __init__(self, bindery, people):
        port = int(bindery.settings["EDGE_LISTEN"].split(":")[1])
        self.process = start([sys.executable, __file__, port, people], {PROXY_CORE, LOAD_CORE},
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.setpriority(os.PRIO_PROCESS, self.process.pid, 19)  # they are not on this machine
        self.process.stdout.readline()

    def stop(self):
        """How many passwords were compared."""
        return int(self.process.communicate()[0])

    @staticmethod
    def run(port, people):
        compared, ended = [0] * people, threading.Event()

        def knock(number):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            while not ended.is_set():
                connection.request("POST", "/api/auth/login", json.dumps({
                    "email": f"nobody-{number}-{compared[number]}@example.com", "password": "x" * 12}), {
                        "Content-Type": "application/json",
                        "X-Forwarded-For": f"10.{number}.{compared[number] % 250}.1"})
                answer = connection.getresponse()
                answer.read()
                if answer.status == 401:
                    compared[number] += 1
                else:
                    ended.wait(0.2)

        for number in range(people):
            threading.Thread(target=knock, args=(number,), daemon=True).start()
        while sum(compared) < 4:
            time.sleep(0.01)
        print("ready", flush=True)
        sys.stdin.read()
        ended.set()
        print(sum(compared), flush=True)
        os._exit(0)


class NoRedirects(urllib.request.HTTPErrorProcessor):
    """Gives a redirect as it is; any other status than 2xx stays an error."""

    def http_response(self, request, response):
        if response.status in (302, 303):
            return response
        return super().http_response(request, response)

    https_response = http_response


if __name__ == "__main__":
    SignIns.run(int(sys.argv[1]), int(sys.argv[2]))
