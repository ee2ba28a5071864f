# What does the scheduler do by the clock? Its jobs remember over a restart when they ran, run once
# however many schedulers there are, and are shown to the operator. Databases are changed by hand only
# while the system is stopped, as an operator could.

import email
import email.policy
import http.server
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import threading
import time

import pytest
from conftest import key
from system import BIN, System, free_port, service
from waiting import throughout, until

JOBS = {"orphan_blobs", "upstream_revocations", "mail", "tidy", "master_keys", "forecast",
        "anomalies", "audit_chain"}


def status(system, *words):
    done = subprocess.run([BIN / "bindery", "status", *words], env=system.environment,
                          capture_output=True, text=True, timeout=30, cwd="/")
    return done.returncode, done.stdout


def jobs(system):
    """The scheduler's jobs by name."""
    answers = {each["service"]: each["answer"] for each in json.loads(status(system, "--json")[1])}
    assert all(answers[name] and answers[name]["jobs"] is None for name in ("edge", "auth", "billing"))
    return {job["name"]: job for job in (answers["scheduler"] or {"jobs": []})["jobs"]}


def rows(system, sql, *values, database="bindery"):
    """Reads rows; the file is the system's, so nothing of ours may write it."""
    with sqlite3.connect(f"file:{system.data}/{database}.sqlite?mode=ro", uri=True) as connection:
        return connection.execute(sql, values).fetchall()


def change(system, sql, *values, database="bindery"):
    """Changes rows of a system that is stopped."""
    assert system.process.poll() is not None
    connection = sqlite3.connect(f"{system.data}/{database}.sqlite", isolation_level=None)
    try:
        changed = connection.execute(sql, values).rowcount
    finally:
        connection.close()
    return changed


def ran(system, name, after=0):
    """Waits for a run of a job that ended after `after`, and gives what it counted."""
    job = until(lambda: (job := jobs(system).get(name)) and (job["finished_at"] or 0) > after and job,
                60, f"a run of {name}")
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
    below = text[text.index("\nscheduler ") + 1:].splitlines()[1:]
    lines = [line.split() for line in itertools.takewhile(lambda line: line[:2] == "  ", below)]
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
        finished = rows(
            system, "SELECT finished_at FROM job_state WHERE name = 'orphan_blobs'")[0][0]
        until(lambda: sum_of_runs() > first, 40, "the next run")
        throughout(lambda: sum_of_runs() == first + 1, 10, "one run of one interval")
        assert rows(
            system, "SELECT finished_at FROM job_state WHERE name = 'orphan_blobs'")[0][0] >= finished + 20
    finally:
        second.send_signal(signal.SIGTERM)
        second.wait(30)


class PostOffice:
    """SMTP2GO as far as we use it; `answer(request)` gives the status and body, or None to hang."""

    def __init__(self):
        self.requests, self.answer, self.released = [], self.accept, threading.Event()
        office = self

        class Desk(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = {"path": self.path, "key": self.headers["X-Smtp2go-Api-Key"],
                           **json.loads(body)}
                office.requests.append(request)
                answer = office.answer(request)
                if answer is None:
                    office.released.wait(60)
                    return
                status, text = answer
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Desk)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def settings(self):
        return {"SMTP2GO_API_URL": f"http://127.0.0.1:{self.server.server_address[1]}/v3",
                "SMTP2GO_API_KEY": "api-canary-key", "MAIL_FROM": "Bindery <bindery@b.example>",
                "ADMIN_NOTIFICATION_EMAIL": "operator@b.example"}

    @staticmethod
    def accept(request):
        return 200, '{"request_id":"1","data":{"succeeded":1,"failed":0,"failures":[]}}'

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def office():
    started = PostOffice()
    yield started
    started.close()


def mails(system):
    return rows(system, "SELECT recipient, state, tries, reason, body IS NULL FROM mail_queue")


def test_a_mail_without_a_key_is_a_file_in_the_outbox(own_system):
    system = own_system({"ADMIN_NOTIFICATION_EMAIL": "operator@b.example",
                         "MAIL_FROM": "Bindéry <bindery@b.example>"})
    person = system.person()
    outbox = system.data / "outbox"
    file = until(lambda: next(iter(outbox.glob("*.eml")), None), 10, "the file")
    assert file.stat().st_mode & 0o777 == 0o600
    message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert message["To"] == "operator@b.example" and message["From"] == "Bindéry <bindery@b.example>"
    assert message["Subject"] == f"New account at {system.host}"
    assert message.get_content().splitlines() == [
        f"{person.email} has registered at {system.host}."]
    until(lambda: mails(system) == [("operator@b.example", "sent", 1, None, 1)], 5, "the note")
    assert list(outbox.iterdir()) == [file]


def test_a_mail_goes_through_smtp2go_and_its_body_is_forgotten(own_system, office):
    system = own_system(office.settings)
    person = system.person()
    until(lambda: mails(system) == [("operator@b.example", "sent", 1, None, 1)], 10, "the mail")
    assert office.requests == [{
        "path": "/v3/email/send", "key": "api-canary-key", "sender": "Bindery <bindery@b.example>",
        "to": ["operator@b.example"], "subject": f"New account at {system.host}",
        "text_body": f"{person.email} has registered at {system.host}.\n"}]
    assert not list((system.data / "outbox").iterdir())
    assert b"api-canary-key" not in system.log.read_bytes()
    assert person.email.encode() not in system.log.read_bytes()


def test_a_mail_that_is_refused_waits_stops_no_other_and_is_parked_at_last(own_system, office):
    system = own_system(office.settings)
    office.answer = lambda request: (500, "oops")
    first = system.person()
    until(lambda: mails(system) == [("operator@b.example", "waiting", 1, "failed_there", 0)], 10,
          "the failed try")
    office.answer = lambda request: (
        (500, "oops") if first.email in request["text_body"] else office.accept(request))
    second = system.person()
    until(lambda: sorted(row[1] for row in mails(system)) == ["sent", "waiting"], 10, "the second")
    assert second.email in office.requests[-1]["text_body"]
    system.stop()
    change(system, "UPDATE mail_queue SET next_try_at = 1, created_at = created_at - 259200 "
                   "WHERE state = 'waiting'")
    change(system, "DELETE FROM job_state")
    system.start()
    until(lambda: sorted(row[1] for row in mails(system)) == ["parked", "sent"], 10, "the parking")
    job = until(lambda: (job := jobs(system).get("mail")) and job["counts"].get("parked") and job, 10)
    assert job["outcome"] == "findings" and job["counts"]["parked"] == 1
    assert "1 parked" in status(system)[1]


def kill_scheduler(system):
    pid = system.pid("scheduler")
    os.kill(pid, signal.SIGKILL)
    until(lambda: system.pids().get("scheduler") not in (None, pid), 30, "the next scheduler")


def test_a_mail_whose_answer_never_came_is_sent_again_and_one_that_was_answered_is_not(
        own_system, office):
    system = own_system(office.settings)
    office.answer = lambda request: None
    person = system.person()
    until(lambda: office.requests, 10, "the first try")
    office.answer = office.accept
    kill_scheduler(system)
    until(lambda: [row[1] for row in mails(system)] == ["sent"], 30, "the second try")
    assert len(office.requests) == 2
    assert all(person.email in request["text_body"] for request in office.requests)
    kill_scheduler(system)
    ran(system, "mail", int(time.time()))
    assert len(office.requests) == 2


def test_kills_at_random_lose_no_mail_and_double_at_most_one_each(own_system, office, dice):
    system = own_system(office.settings)
    count, kills = 60, 5

    def slowly(request):
        time.sleep(0.02)
        return office.accept(request)

    office.answer = slowly
    system.stop()
    for number in range(count):
        change(system, "INSERT INTO mail_queue (id, dedupe_key, kind, recipient, subject, body, "
               "created_at, next_try_at) VALUES (?, ?, 'new_user', 'a@b.example', 's', ?, 1, 1)",
               f"00000000-0000-4000-8000-{number:012d}", f"k{number}", f"body {number}")
    change(system, "UPDATE mail_queue SET created_at = ?", int(time.time()))
    system.start()
    for _ in range(kills):
        seen = len(office.requests)
        until(lambda: len(office.requests) > seen + dice.randrange(1, 6), 60, "some mails")
        time.sleep(dice.random() * 0.02)
        kill_scheduler(system)
    until(lambda: all(row[1] == "sent" for row in mails(system)), 60, "all mails")
    bodies = [request["text_body"] for request in office.requests]
    assert set(bodies) == {f"body {number}" for number in range(count)}
    assert len(bodies) <= count + kills


def test_owners_are_told_once_that_a_connection_will_end(own_system, alpha):
    system = own_system()
    person = system.person()
    ends, dead, well = (person.connect("alpha", key(), mode, label) for mode, label in [
        (None, "Ends söon"), ("managed", "Is dead"), ("managed", "Is well")])
    system.stop()
    now = int(time.time())
    change(system, "UPDATE connections SET auth_type = 'oauth'")
    for access, field, value in [(ends, "refresh_expires_at", now + 3 * 86400),
                                 (dead, "needs_reauth_at", now - 60),
                                 (well, "refresh_expires_at", now + 90 * 86400)]:
        change(system, f"INSERT INTO refresh_state (connection_id, generation, {field}) "
               "VALUES (?, 1, ?)", access.id, value, database="tokens")
    change(system, "DELETE FROM job_state")
    system.start()
    counts = ran(system, "forecast")["counts"]
    assert counts == {"dying_within_24h": 0, "dying_within_7d": 1, "needing_consent": 1, "told": 2}
    measured = system.metrics().decode()
    assert 'bindery_scheduler_connections_dying{window="24h"} 0' in measured
    assert 'bindery_scheduler_connections_dying{window="7d"} 1' in measured

    def letters():
        return {message["Subject"]: message for message in (
            email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            for file in (system.data / "outbox").glob("*.eml"))}

    until(lambda: len(letters()) == 2, 10, "both letters")
    day = time.strftime("%d %b %Y", time.gmtime(now + 3 * 86400))
    ending = letters()[f"Your Alpha connection ends on {day} unless it is used"]
    needing = letters()["Your Alpha connection needs you"]
    assert ending["To"] == needing["To"] == person.email
    assert '"Ends söon"' in ending.get_content() and '"Is dead"' in needing.get_content()
    for letter in (ending, needing):
        assert f"{system.origin}/dashboard" in letter.get_content()
        assert ends.secret not in letter.get_content() and ends.id not in letter.get_content()
    again(system, "forecast")
    assert ran(system, "forecast")["counts"]["told"] == 0
    assert len(rows(system, "SELECT id FROM mail_queue")) == 2


def test_what_has_ended_is_tidied_up_and_a_long_suspension_ends_a_connection(own_system, alpha):
    plans = {"STRIPE_PRICE_CONNECTIONS": "price_test", "TRIAL_CONNECTIONS": "3"}
    system = own_system(plans)
    person = system.person()
    kept, fresh, old = (person.connect("alpha", key()) for _ in range(3))
    system.stop()
    system.environment["TRIAL_CONNECTIONS"] = "1"  # or the plan would wake them again
    change(system, "UPDATE connections SET status = 'suspended' WHERE id = ?", fresh.id)
    change(system, "UPDATE connections SET status = 'suspended', suspended_at = ? WHERE id = ?",
           int(time.time()) - 60 * 86400, old.id)
    change(system, "INSERT INTO sessions SELECT '00000000-0000-4000-8000-000000000009', user_id, "
           "randomblob(32), randomblob(32), refresh_hash, NULL, successor_salt, rotated_at, "
           "created_at, 1 FROM sessions LIMIT 1")
    change(system, "DELETE FROM job_state")
    system.start()
    assert ran(system, "tidy")["counts"] == {"ended": 1, "revocations": 0, "sessions": 1}
    assert kept.call().status == 200
    assert fresh.call().status == 402 and old.call().status == 404
    until(lambda: not rows(system, "SELECT 1 FROM token_blobs WHERE connection_id = ?", old.id,
                           database="tokens"), 30, "the tokens to go")
    assert rows(system, "SELECT count(*) FROM connections WHERE suspended_at > 1") == [(1,)] \
        or rows(system, "SELECT suspended_at IS NOT NULL FROM connections WHERE id = ?",
                fresh.id) == [(1,)]


def test_an_anomaly_is_found_counted_and_said_once(own_system, alpha):
    system = own_system()
    person = system.person()
    lost, well = person.connect("alpha", key()), person.connect("alpha", key())
    ran(system, "anomalies")
    system.stop()
    change(system, "DELETE FROM token_blobs WHERE connection_id = ?", lost.id, database="tokens")
    change(system, "UPDATE connections SET created_at = created_at - 3600")
    change(system, "DELETE FROM job_state")
    system.start()
    job = ran(system, "anomalies")
    assert job["outcome"] == "findings" and job["counts"].pop("tokens_missing") == 1
    assert not any(job["counts"].values())
    system.stop()
    system.start()  # within the day it is not said again
    throughout(lambda: jobs(system)["anomalies"]["finished_at"] == job["finished_at"], 12)
    lines = [json.loads(line) for line in system.log.read_text().splitlines()
             if '"event":"anomaly"' in line]
    assert [(line["kind"], line["connection"]) for line in lines] == [
        ("tokens_missing", lost.id[:8])]
    assert well.call().status == 200
