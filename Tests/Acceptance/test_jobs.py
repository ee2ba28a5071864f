# What does the scheduler do by the clock? Its jobs remember over a restart when they ran, run once
# however many schedulers there are, and are shown to the operator. Databases are changed by hand only
# while the system is stopped, as an operator could.

import json
import os
import signal
import sqlite3
import subprocess
import time

import pytest
from conftest import key
from system import BIN, System, free_port, service
from waiting import throughout, until

JOBS = {"orphan_blobs"}


def status(system, *words):
    done = subprocess.run([BIN / "bindery", "status", *words], env=system.environment,
                          capture_output=True, text=True, timeout=30, cwd="/")
    return done.returncode, done.stdout


def jobs(system):
    """The scheduler's jobs by name."""
    answers = {each["service"]: each["answer"] for each in json.loads(status(system, "--json")[1])}
    assert all(answers[name]["jobs"] is None for name in ("edge", "auth", "billing"))
    return {job["name"]: job for job in answers["scheduler"]["jobs"]}


def rows(system, sql, *values, database="bindery"):
    """Reads rows; the file is the system's, so nothing of ours may write it."""
    with sqlite3.connect(f"file:{system.data}/{database}.sqlite?mode=ro", uri=True) as connection:
        return connection.execute(sql, values).fetchall()


def change(system, sql, *values, database="bindery"):
    """Changes rows of a system that is stopped."""
    assert system.process.poll() is not None
    connection = sqlite3.connect(f"{system.data}/{database}.sqlite", isolation_level=None)
    try:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        changed = connection.execute(sql, values).rowcount
    finally:
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True) \
            if hasattr(connection, "setconfig") else None
        connection.close()
    return changed


def ran(system, name, after=0):
    """Waits for a run of a job that ended after `after`, and gives what it counted."""
    job = until(lambda: (job := jobs(system).get(name)) and (job["finished_at"] or 0) > after and job,
                30, f"a run of {name}")
    return job


def again(system, *names):
    """Stops and starts a system so that the jobs `names` run anew."""
    system.stop()
    for name in names:
        change(system, "DELETE FROM job_state WHERE name = ?", name)
    system.start()


def test_status_tells_of_every_job(own_system):
    system = own_system()
    for name in JOBS:
        ran(system, name)
    assert set(jobs(system)) == JOBS
    code, text = status(system)
    assert code == 0
    lines = [line.split() for line in text.splitlines() if line.startswith("  ")]
    assert {line[0] for line in lines} == JOBS
    assert all(line[1] == "done" and line[4].startswith("ago") for line in lines), text
    measured = system.metrics().decode()
    for name in JOBS:
        assert f'bindery_scheduler_job_seconds_count{{job="{name}"}}' in measured
        assert f'bindery_scheduler_job_runs_total{{job="{name}",outcome="done"}}' in measured
        assert f'bindery_scheduler_job_success_age_seconds{{job="{name}"}}' in measured


def test_a_job_that_ran_does_not_run_again_at_the_next_start(own_system):
    system = own_system()
    before = ran(system, "orphan_blobs")
    system.stop()
    later = int(time.time()) + 15
    change(system, "UPDATE job_state SET next_at = ? WHERE name = 'orphan_blobs'", later)
    system.start()
    assert jobs(system)["orphan_blobs"]["next_at"] == later
    throughout(lambda: jobs(system)["orphan_blobs"]["finished_at"] == before["finished_at"], 3)
    assert ran(system, "orphan_blobs", before["finished_at"])["finished_at"] >= later


def test_two_schedulers_run_a_job_once(own_system):
    system = own_system()
    ran(system, "orphan_blobs")
    # A second one on the same data, with a run folder of its own: in the same one it would not start.
    port, run = free_port(), system.folder / "run2"
    run.mkdir()
    second = subprocess.Popen(
        [BIN / "bindery-scheduler"], cwd="/", stderr=open(system.log, "ab"),
        env=system.environment | {"BINDERY_RUN_DIR": str(run),
                                  "SCHEDULER_OPS_LISTEN": f"127.0.0.1:{port}"})
    try:
        def ready():
            try:
                return system.fetch(port, "/readyz")[0] == 200
            except OSError:
                return False

        def runs(port):
            text = system.fetch(port, "/metrics")[1].decode()
            line = 'bindery_scheduler_job_runs_total{job="orphan_blobs",outcome="done"} '
            return int(text.split(line)[1].split()[0])

        def sum_of_runs():
            return runs(system.ops["scheduler"]) + runs(port)

        until(ready, 30, "the second scheduler")
        first = sum_of_runs()
        finished = rows(system, "SELECT finished_at FROM job_state")[0][0]
        until(lambda: sum_of_runs() > first, 40, "the next run")
        throughout(lambda: sum_of_runs() == first + 1, 10, "one run of one interval")
        assert rows(system, "SELECT finished_at FROM job_state")[0][0] >= finished + 20
    finally:
        second.send_signal(signal.SIGTERM)
        second.wait(30)
