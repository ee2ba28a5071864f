# A client of raw bytes: sends exactly what it is given and reads answers with full suspicion.
# An answer says how it ended: `length`, `chunked`, `close`, or `cut` when the end is not clean.
# Nothing is normalised; header names keep their case, duplicates stay.

import json
import socket
import time


class Cut(Exception):
    """The peer ended where no message ends."""


class Answer:
    def __init__(self, status, headers, body, how, interim):
        self.status, self.headers, self.body = status, headers, body
        self.how, self.interim = how, interim

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def header(self, name):
        found = self.all(name)
        assert len(found) <= 1, f"{name} came {len(found)} times"
        return found[0] if found else None

    @property
    def clean(self):
        return self.how != "cut"

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.how} {self.body[:200]!r}>"


class Wire:
    """One connection."""

    def __init__(self, address, timeout=15.0, receive_buffer=None):
        kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(kind)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        if kind == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def fill(self, at_most=1 << 16):
        """Reads once; False at the end of the stream."""
        try:
            data = self.socket.recv(at_most)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            self.ended = True
            return False
        self.buffer += data
        return True

    def line(self):
        while (at := self.buffer.find(b"\n")) < 0:
            if not self.fill():
                raise Cut
        text = bytes(self.buffer[:at])
        del self.buffer[:at + 1]
        assert text.endswith(b"\r"), f"a bare line feed from the edge: {text!r}"
        return text[:-1]

    def exactly(self, count):
        while len(self.buffer) < count:
            if not self.fill(max(1 << 16, min(1 << 20, count - len(self.buffer)))):
                raise Cut
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def head(self):
        """Reads one head: status and header pairs."""
        first = self.line()
        version, status, *_ = first.split(b" ", 2)
        assert version == b"HTTP/1.1", f"not a status line: {first!r}"
        headers = []
        while field := self.line():
            name, colon, value = field.partition(b":")
            assert colon and name and name == name.strip(), f"not a header: {field!r}"
            headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
        return int(status), headers

    def chunk(self):
        """Reads one chunk; b'' for the last one, whose trailers are read too."""
        size = int(self.line().split(b";")[0], 16)
        data = self.exactly(size)
        if size == 0:
            while self.line():
                pass
        else:
            assert self.exactly(2) == b"\r\n"
        return data

    def answer(self, method="POST", sink=None):
        """Reads one whole answer; raises Cut only when not even a head came."""
        interim = 0
        status, headers = self.head()
        while 100 <= status < 200:
            interim += 1
            status, headers = self.head()
        names = {n.lower(): v for n, v in headers}
        assert len([1 for n, _ in headers if n.lower() == "content-length"]) <= 1
        assert not ("content-length" in names and "transfer-encoding" in names)
        body, how = bytearray(), "length"
        take = sink or body.extend
        try:
            if method == "HEAD" or status in (204, 304):
                pass
            elif "transfer-encoding" in names:
                how = "chunked"
                while data := self.chunk():
                    take(data)
            elif "content-length" in names:
                left = int(names["content-length"])
                while left:
                    data = self.exactly(min(left, 1 << 20)) if left < 1 << 20 else self.some(left)
                    take(data)
                    left -= len(data)
            else:
                how = "close"
                while self.fill():
                    pass
                take(bytes(self.buffer))
                self.buffer.clear()
        except Cut:
            take(bytes(self.buffer))
            how = "cut"
        return Answer(status, headers, bytes(body), how, interim)

    def some(self, at_most):
        if not self.buffer and not self.fill(1 << 20):
            raise Cut
        data = bytes(self.buffer[:at_most])
        del self.buffer[:at_most]
        return data

    def event(self):
        """Reads chunks until one whole SSE event is there; gives its text, comments dropped."""
        self.text = getattr(self, "text", b"")
        while True:
            while (at := self.text.find(b"\n\n")) >= 0:
                block, self.text = self.text[:at + 2], self.text[at + 2:]
                if any(not line.startswith(b":") for line in block.strip().split(b"\n")):
                    return block
            data = self.chunk()
            if not data:
                return None
            self.text += data.replace(b"\r\n", b"\n")

    def end(self, seconds=15.0):
        """Reads to the end of the stream; gives what was still to come."""
        self.socket.settimeout(seconds)
        while self.fill():
            pass
        return bytes(self.buffer)

    def gone(self):
        """True when the peer has closed and nothing is left."""
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.socket.settimeout(15)


def head(method, target, headers=(), version="HTTP/1.1"):
    lines = [f"{method} {target} {version}"] + [f"{n}: {v}" for n, v in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunked(data, sizes=None):
    """`data` in chunks of the given sizes, or in one."""
    out, at, sizes = bytearray(), 0, iter(sizes or [len(data)])
    while at < len(data):
        size = max(1, next(sizes, len(data)))
        piece = data[at:at + size]
        out += b"%x\r\n" % len(piece) + piece + b"\r\n"
        at += len(piece)
    return bytes(out + b"0\r\n\r\n")


class Seconds:
    """Measures a block: `with Seconds() as took`, then `took.value`."""

    def __enter__(self):
        self.start = time.monotonic()
        return self

    def __exit__(self, *error):
        self.value = time.monotonic() - self.start

    @property
    def now(self):
        return time.monotonic() - self.start
