# Waits for conditions with a deadline: the only place of the acceptance tests that pauses.

import os
import pathlib
import signal
import time


def until(condition, seconds=10.0, what="the condition"):
    """Returns the first true value of `condition()`, or fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what() if callable(what) else what}")
        time.sleep(0.005)


def throughout(condition, seconds, what="the condition"):
    """Fails as soon as `condition()` is false within the next `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"{what} did not hold"
        time.sleep(0.005)


def pause(seconds):
    """For senders that are slow on purpose."""
    time.sleep(seconds)


def halt(pid):
    """Stops a process by SIGSTOP and waits until all its threads stand still: one that runs while the
    signal is on its way could still answer."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: all(task.joinpath("stat").read_text().rsplit(") ", 1)[1][0] == "T"
                      for task in pathlib.Path(f"/proc/{pid}/task").iterdir()), 10, "a halt")
