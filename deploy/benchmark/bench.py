"""Measures Bindery's edge beside other proxies, in one run, on the same cores.

What is measured and how to read it: deploy/BENCHMARKS.md. Repetitions are interleaved
(A B C A B C …) and medians reported, because machines are noisy. The proxy has one core with one
worker or thread, the load generator and the upstream share the other.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import proxies
from proxies import Bindery, HAProxy, LOAD_CORE, Nginx, PythonProxy, Upstream, UpstreamProcess

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def compile_tools(folder):
    compiler = ["cc", "-O2", "-Wall", "-Wextra", "-std=gnu11"]
    for name, parts in (("upstream", ["upstream.c"]),
                        ("load", ["-DEMBEDDED", "load.c", "upstream.c"])):
        subprocess.run([*compiler, "-o", folder / name, *parts, "-lssl", "-lcrypto"],
                       check=True, cwd=HERE)


def make_certificates(folder):
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, cwd=folder,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", 3,
            "-subj", "/CN=Benchmark authority", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", "-new", *key, "-keyout", "server.key", "-out", "server.csr",
            "-subj", "/CN=localhost")
    (folder / "server.ext").write_text(
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n"
        "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", 3, "-extfile", "server.ext", "-out", "server.pem")
    both = (folder / "server.pem").read_bytes() + (folder / "server.key").read_bytes()
    (folder / "server-and-key.pem").write_bytes(both)


class Run:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.result = {"machine": machine(), "parameters": vars(options), "measured": {}}

    def load(self, proxy, upstream, mode, *numbers, path=None, bearer=None,
             shared=False):
        """Runs the load generator once; adds what the proxy's processes spent meanwhile.

        It is the upstream, too, when one is given; without, somebody else is.
        """
        arguments = [self.folder / "load", mode, "127.0.0.1", proxy.port, path or proxy.path,
                     *numbers]
        if bearer is None:
            bearer = proxy.bearer
        if bearer:
            arguments += ["-b", bearer]
        if proxy.tls:
            arguments += ["-t"]
        if upstream:
            arguments += upstream.as_arguments()
        warm_up = 0.5 if self.options.quick else 1
        process = proxies.start([*arguments, "-w", warm_up], LOAD_CORE, stdout=subprocess.PIPE)
        pids, everyone = proxy.pids(), proxy.all_pids()
        # At a fixed rate the question is the proxy's own delay, not the machine's other work.
        ahead = mode == "open" or self.options.realtime
        ahead_of_all = [os.getpid(), process.pid] if shared else [os.getpid(), *everyone, process.pid]
        if ahead:
            proxies.ahead_of_others(ahead_of_all, True)
        process.stdout.readline()
        began = time.monotonic()
        own, whole = proxies.processor_seconds(pids), proxies.processor_seconds(everyone)
        answer = json.loads(process.stdout.readline())
        # The load prints its result within a few ms of the end; a closed loop's proxy is idle then.
        answer["cpu_seconds"] = proxies.processor_seconds(pids) - own
        answer["cpu_seconds_all"] = proxies.processor_seconds(everyone) - whole
        process.wait()
        if ahead:
            proxies.ahead_of_others([*everyone, os.getpid()], False)
        requests = max(answer["requests"], 1)
        answer["cpu_us"] = answer["cpu_seconds"] / requests * 1e6
        answer["cpu_us_all"] = answer["cpu_seconds_all"] / requests * 1e6
        answer["busy"] = answer["cpu_seconds"] / answer["seconds"]
        answer["elapsed"] = time.monotonic() - began
        return answer

    def side_by_side(self, tls):
        """Throughput, CPU per request and latency at a fixed rate, interleaved."""
        o, kind = self.options, "tls" if tls else "plain"
        upstream, server = Upstream(self.folder, tls), None
        started, rows = [], {}
        try:
            lanes = []
            for make in self.contenders(tls):
                say(f"  starting {make.name} ({kind})")
                if make is PythonProxy:  # wants an upstream while it starts
                    server = UpstreamProcess(self.folder)
                proxy = make(self.folder, server.port if server else upstream.port, tls)
                started.append(proxy)
                lanes.append((proxy.name, proxy, {}))
                if isinstance(proxy, Bindery) and not o.quick:
                    lanes.append(("bindery-url", proxy,
                                  {"path": proxy.path_with_secret, "bearer": ""}))
                    lanes.append(("bindery-token", proxy, {"bearer": proxy.authorize()}))
            for repetition in range(o.repetitions):
                for name, proxy, form in lanes:
                    row = rows.setdefault(name, {"closed": [], "open": []})
                    row["closed"].append(self.load(
                        proxy, None if proxy.name == "mcp-proxy" else upstream, "closed",
                        o.connections, o.seconds, **form))
                    if name not in ("bindery-url", "bindery-token", "mcp-proxy"):
                        row["open"].append(self.load(
                            proxy, upstream, "open", o.connections, o.seconds, o.rate, **form))
                    closed = row["closed"][-1]
                    say(f"  {kind} {repetition + 1}/{o.repetitions} {name:12}"
                        f" {closed['rate']:9.0f}/s {closed['cpu_us']:7.2f} us cpu"
                        f" busy {closed['busy']:.2f} errors {closed['errors']}"
                        + (f"  p99 at {o.rate}/s {row['open'][-1]['p99_us']:.0f} us"
                           f" errors {row['open'][-1]['errors']}" if row["open"] else ""))
        finally:
            for proxy in started:
                proxy.stop()
            if server:
                server.stop()
        self.result["measured"][kind] = rows

    def contenders(self, tls):
        chosen = [c for c in (Nginx, HAProxy, Bindery) if c.name in self.options.proxies]
        if not tls and PythonProxy.name in self.options.proxies:
            chosen.append(PythonProxy)
        return chosen

    def memory(self, tls):
        """What one silent event stream costs in resident memory."""
        kind = "memory_tls" if tls else "memory"
        table = self.result["measured"].setdefault(kind, {})
        streams = self.options.streams
        for make in self.contenders(tls):
            if make is PythonProxy:
                continue
            upstream = Upstream(self.folder, tls)
            proxy = make(self.folder, upstream.port, tls)
            holder = None
            try:
                # One request first, so that what every process pays once is not charged to streams.
                self.load(proxy, upstream, "closed", 8, 0.3)
                time.sleep(0.5)
                before = proxies.resident_kib(proxy.pids())
                arguments = [self.folder / "load", "hold", "127.0.0.1", proxy.port, proxy.path,
                             streams, "-b", proxy.bearer, *upstream.as_arguments(),
                             *(["-t"] if tls else [])]
                holder = proxies.start(arguments, LOAD_CORE, stdout=subprocess.PIPE,
                                       stdin=subprocess.PIPE)
                opened = json.loads(holder.stdout.readline())
                time.sleep(2 if self.options.quick else 5)
                own = proxies.processor_seconds(proxy.pids())
                watched = 1 if self.options.quick else self.options.watch
                time.sleep(watched)
                own = proxies.processor_seconds(proxy.pids()) - own
                after = proxies.resident_kib(proxy.pids())
                others = self.load(proxy, None, "open", 16, 1 if self.options.quick else 3, 500)
                holder.stdin.close()
                ended = json.loads(holder.stdout.readline())
                table[make.name] = {
                    "streams": opened["streams"], "failed": opened["failed"],
                    "cut": ended["cut"], "idle_rss_kib": before[0],
                    "rss_kib_per_stream": (after[0] - before[0]) / max(opened["streams"], 1),
                    "pss_kib_per_stream": (after[1] - before[1]) / max(opened["streams"], 1),
                    "idle_cpu_percent": own / watched * 100,
                    "heartbeat_gaps": ended["gaps"], "heartbeat_p50_ms": ended["gap_p50_ms"],
                    "heartbeat_p99_ms": ended["gap_p99_ms"],
                    "p99_us_of_other_requests": others["p99_us"]}
                say(f"  {kind} {make.name:12} {table[make.name]['rss_kib_per_stream']:.2f} KiB"
                    f" a stream, {opened['streams']} streams, {ended['cut']} cut")
            finally:
                proxies.stop(holder)
                proxy.stop()

    def logins(self):
        """How long requests take while 200 people sign in at once, on cores that all share."""
        if "bindery" not in self.options.proxies:
            return
        upstream, table = Upstream(self.folder, False), {"quiet": [], "logins": []}
        proxy = Bindery(self.folder, upstream.port, False)
        try:
            proxy.share_cores()
            for _ in range(self.options.repetitions):
                table["quiet"].append(self.paced(proxy, upstream))
                crowd = proxy.sign_ins(200)
                try:
                    table["logins"].append(self.paced(proxy, upstream))
                finally:
                    hashed = crowd.stop()
                say(f"  p99 at {self.options.rate}/s: quiet {table['quiet'][-1]['p99_us']:.0f} us, with"
                    f" 200 parallel logins {table['logins'][-1]['p99_us']:.0f} us; {hashed} passwords"
                    " compared")
        finally:
            proxy.stop()
        self.result["measured"]["logins"] = table

    def paced(self, proxy, upstream):
        """An open loop whose generator goes ahead of all others; they share what is left."""
        return self.load(proxy, upstream, "open", self.options.connections,
                         max(self.options.seconds, 4), self.options.rate, shared=True)

    def start_and_size(self):
        """Edge alone: start to ready, idle size, stripped size."""
        if "bindery" not in self.options.proxies:
            return
        stripped = self.folder / "stripped"
        table = {"ready_ms": [], "idle_rss_mib": [], "idle_pss_mib": []}
        subprocess.run(["strip", "-o", stripped, Bindery.binaries / "bindery-edge"], check=True)
        table["stripped_mb"] = stripped.stat().st_size / 1e6
        proxy = Bindery(self.folder, proxies.free_port(), False)  # migrates, makes the keys
        settings = dict(proxy.settings)
        proxy.stop()
        host, port = settings["EDGE_OPS_LISTEN"].split(":")
        for _ in range(3 if self.options.quick else 11):
            began = time.monotonic()
            edge = proxies.start([stripped], proxies.PROXY_CORE, env=settings,
                                 stderr=proxy_log(self.folder))
            try:
                proxies.wait_until(lambda: is_ready(host, int(port)), "edge")
                table["ready_ms"].append((time.monotonic() - began) * 1000)
                time.sleep(0.3)
                rss, pss = proxies.resident_kib([edge.pid])
                table["idle_rss_mib"].append(rss / 1024)
                table["idle_pss_mib"].append(pss / 1024)
            finally:
                proxies.stop(edge)
        self.result["measured"]["edge"] = table
        say(f"  edge ready in {statistics.median(table['ready_ms']):.0f} ms,"
            f" {statistics.median(table['idle_rss_mib']):.1f} MiB,"
            f" {table['stripped_mb']:.1f} MB stripped")


def proxy_log(folder):
    return open(folder / "edge.log", "ab")


def is_ready(host, port):
    import http.client
    try:
        connection = http.client.HTTPConnection(host, port, timeout=1)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        time.sleep(0.001)
        return False


def machine():
    def first_line(*command):
        try:
            out = subprocess.run(command, capture_output=True, text=True, check=False)
            return (out.stdout + out.stderr).strip().splitlines()[0]
        except (OSError, IndexError):
            return None

    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), None)
    return {"processor": model, "cores": os.cpu_count(), "kernel": platform.release(),
            "nginx": first_line("/usr/sbin/nginx", "-v"),
            "haproxy": first_line("/usr/sbin/haproxy", "-v"), "load_average": os.getloadavg()}


def median(rows, key):
    return statistics.median(r[key] for r in rows) if rows else None


def summarise(result):
    """The numbers people compare, and their ratios to nginx's of the same run."""
    summary, measured = {}, result["measured"]
    for kind in ("plain", "tls"):
        rows = measured.get(kind, {})
        for name, row in rows.items():
            summary.setdefault(kind, {})[name] = {
                "cpu_us_per_request": median(row["closed"], "cpu_us"),
                "cpu_us_per_request_all_processes": median(row["closed"], "cpu_us_all"),
                "requests_per_second": median(row["closed"], "rate"),
                "p50_us": median(row["open"], "p50_us"), "p99_us": median(row["open"], "p99_us"),
                "cpu_us_per_request_fixed_rate": median(row["open"], "cpu_us"),
                "errors": sum(r["errors"] for r in row["closed"] + row["open"])}
    ratios = {}
    for kind, rows in summary.items():
        base = rows.get("nginx")
        for name, row in rows.items():
            if base and name != "nginx":
                ratio = ratios.setdefault(kind, {}).setdefault(name, {})
                pairs = (("cpu", "cpu_us_per_request"), ("throughput", "requests_per_second"),
                         ("cpu_fixed_rate", "cpu_us_per_request_fixed_rate"))
                for label, key in pairs:
                    if row[key] and base[key]:
                        ratio[label] = row[key] / base[key]
                if row["p99_us"] and base["p99_us"]:
                    ratio["p99_minus_nginx_ms"] = (row["p99_us"] - base["p99_us"]) / 1000
    for kind in ("memory", "memory_tls"):
        rows = measured.get(kind, {})
        for name, row in rows.items():
            if "nginx" in rows and name != "nginx":
                ratios.setdefault(kind, {})[name] = (
                    row["rss_kib_per_stream"] / rows["nginx"]["rss_kib_per_stream"])
    result["summary"], result["ratios"] = summary, ratios


def show(result, rate):
    def cell(value, form):
        return format(value, form) if value is not None else "-"

    for kind, rows in result["summary"].items():
        title = "TLS on both sides" if kind == "tls" else "plain HTTP"
        print(f"\n{title}: one proxy core, POST of about 130 bytes, reply of 277")
        print(f"  {'':14}{'CPU us/req':>11}{'/nginx':>8}{'req/s':>9}{'/nginx':>8}"
              f"{f'p50 us @{rate}':>15}{'p99 us':>9}{'- nginx ms':>12}{'errors':>8}")
        for name, row in rows.items():
            ratio = result["ratios"].get(kind, {}).get(name, {})
            print(f"  {name:14}{cell(row['cpu_us_per_request'], '11.2f')}"
                  f"{cell(ratio.get('cpu'), '.2f'):>8}"
                  f"{cell(row['requests_per_second'], '9.0f')}"
                  f"{cell(ratio.get('throughput'), '.2f'):>8}"
                  f"{cell(row['p50_us'], '.0f'):>15}{cell(row['p99_us'], '.0f'):>9}"
                  f"{cell(ratio.get('p99_minus_nginx_ms'), '+.2f'):>12}{row['errors']:>8}")
    for kind in ("memory", "memory_tls"):
        rows = result["measured"].get(kind)
        if rows:
            print(f"\nidle event streams{', TLS on both sides' if kind != 'memory' else ''}")
            print(f"  {'':14}{'streams':>9}{'RSS KiB each':>14}{'PSS':>8}{'/nginx':>8}"
                  f"{'CPU %':>7}{'cut':>6}{'others p99 us':>15}")
            for name, row in rows.items():
                print(f"  {name:14}{row['streams']:>9}{row['rss_kib_per_stream']:>14.2f}"
                      f"{row['pss_kib_per_stream']:>8.2f}"
                      f"{cell(result['ratios'].get(kind, {}).get(name), '.2f'):>8}"
                      f"{row['idle_cpu_percent']:>7.2f}{row['cut']:>6}"
                      f"{row['p99_us_of_other_requests']:>15.0f}")
    logins = result["measured"].get("logins")
    if logins:
        quiet, crowded = (median(logins[name], "p99_us") for name in ("quiet", "logins"))
        print(f"\nrequests at {rate}/s: p99 {quiet:.0f} us, with 200 parallel logins {crowded:.0f} us:"
              f" {crowded / quiet:.2f} x")
    edge = result["measured"].get("edge")
    if edge:
        print(f"\nedge alone: ready in {statistics.median(edge['ready_ms']):.0f} ms,"
              f" idle {statistics.median(edge['idle_rss_mib']):.1f} MiB resident,"
              f" {edge['stripped_mb']:.1f} MB stripped")


def main():
    parser = argparse.ArgumentParser(prog="deploy/bench", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run of less than a minute")
    parser.add_argument("--proxies", default="nginx,haproxy,bindery",
                        help="of nginx, haproxy, bindery, mcp-proxy (default: %(default)s)")
    parser.add_argument("--only", default="plain,tls,memory,memory_tls,logins,edge",
                        help="which parts (default: all)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--streams", type=int, default=8000)
    parser.add_argument("--realtime", action="store_true",
                        help="real-time priority in the closed loop as well, on a busy machine")
    parser.add_argument("--watch", type=int, default=10,
                        help="seconds that idle streams are watched; over 30 shows heartbeats")
    parser.add_argument("--json", type=Path, default=ROOT / ".build" / "bench.json")
    parser.add_argument("--binaries", type=Path, default=ROOT / ".build" / "release")
    parser.add_argument("--mcp-proxy", help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help="a folder for logs and configurations")
    o = parser.parse_args()
    if o.quick:
        o.repetitions, o.seconds, o.streams = 1, 1.0, 500
    o.proxies, o.only = o.proxies.split(","), o.only.split(",")
    Bindery.binaries, PythonProxy.executable = o.binaries.resolve(), o.mcp_proxy
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 2 * o.streams + 200:
        o.streams = (hard - 200) // 2
        say(f"  the descriptor limit {hard} allows {o.streams} streams")
    if os.cpu_count() < 2:
        sys.exit("deploy/bench: needs two cores")

    folder = Path(tempfile.mkdtemp(prefix="bench-")) if o.keep is None else o.keep.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        compile_tools(folder)
        make_certificates(folder)
        run = Run(o, folder)
        if "plain" in o.only:
            run.side_by_side(tls=False)
        if "tls" in o.only:
            run.side_by_side(tls=True)
        if "memory" in o.only:
            run.memory(tls=False)
        if "memory_tls" in o.only:
            run.memory(tls=True)
        if "logins" in o.only:
            run.logins()
        if "edge" in o.only:
            run.start_and_size()
        result = run.result
        summarise(result)
        show(result, o.rate)
        o.json.parent.mkdir(parents=True, exist_ok=True)
        o.json.write_text(json.dumps(result, indent=1, default=str) + "\n")
        print(f"\nresult: {o.json}")
    finally:
        if o.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
