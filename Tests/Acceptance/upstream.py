# An upstream made of raw bytes: records every byte of every connection and answers by script.
# `behaviour` is a function that gets a new connection; tests replace it. The default one reads
# whole requests and answers each with JSON, as a well-behaved server does.
# A connection that the edge never opened, or a byte that it never sent, can be asserted.

import json
import socket
import threading
import time

from wire import Cut, chunked

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Request:
    def __init__(self, method, target, headers, body, clean):
        self.method, self.target, self.headers = method, target, headers
        self.body, self.clean = body, clean

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def header(self, name):
        found = self.all(name)
        assert len(found) <= 1, f"{name} came {len(found)} times"
        return found[0] if found else None


class Connection:
    """One connection from the edge."""

    def __init__(self, upstream, sock):
        self.upstream, self.socket = upstream, sock
        self.received, self.buffer = bytearray(), bytearray()
        self.requests, self.ended, self.closed = [], threading.Event(), False
        sock.settimeout(60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fill(self, at_most=1 << 18):
        try:
            data = self.socket.recv(at_most)
        except OSError:
            data = b""
        if not data:
            self.ended.set()
            return False
        if len(self.received) < 1 << 20:
            self.received += data
        self.buffer += data
        return True

    def line(self):
        while (at := self.buffer.find(b"\r\n")) < 0:
            if not self.fill():
                raise Cut
        text = bytes(self.buffer[:at])
        del self.buffer[:at + 2]
        return text

    def exactly(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise Cut
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def head(self):
        """The next request's head, or None when the edge is done with this connection."""
        while not self.buffer:
            if not self.fill():
                return None
        method, target, _ = self.line().decode("latin-1").split(" ")
        headers = []
        while field := self.line():
            name, _, value = field.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        request = Request(method, target, headers, b"", False)
        self.requests.append(request)
        with self.upstream.lock:
            self.upstream.requests.append(request)
        return request

    def body(self, request):
        """Reads the body that belongs to `request`; raises Cut when it does not end cleanly."""
        if request.header("transfer-encoding"):
            body = bytearray()
            while size := int(self.line().split(b";")[0], 16):
                body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            while self.line():
                pass
            request.body = bytes(body)
        else:
            request.body = self.exactly(int(request.header("content-length") or 0))
        request.clean = True
        return request

    def request(self):
        request = self.head()
        return self.body(request) if request else None

    def send(self, data):
        self.socket.sendall(data)

    def answer(self, value, headers=(), status="200 OK"):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        extra = "".join(f"{n}: {v}\r\n" for n, v in headers)
        self.send((f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{extra}"
                   f"Content-Length: {len(body)}\r\n\r\n").encode("latin-1") + body)

    def stream(self, headers=()):
        extra = "".join(f"{n}: {v}\r\n" for n, v in headers)
        self.send((f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{extra}"
                   "Transfer-Encoding: chunked\r\n\r\n").encode("latin-1"))

    def chunk(self, data):
        self.send(chunked(data)[:-5])

    def finish(self):
        self.send(b"0\r\n\r\n")

    def wait_for_end(self, seconds=30):
        """True when the edge closed its side within `seconds`."""
        self.socket.settimeout(seconds)
        while self.fill():
            pass
        return self.ended.is_set()

    def close(self):
        self.closed = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def reset(self):
        self.closed = True
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


def well_behaved(connection):
    while request := connection.request():
        connection.answer({"jsonrpc": "2.0", "id": 1, "result": {"bytes": len(request.body)}})


class Upstream:
    """A listener on a free port of the loopback address."""

    def __init__(self):
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.connections, self.requests = [], []
        self.behaviour = well_behaved
        self.faults = []
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def bytes_seen(self):
        return sum(len(c.received) for c in self.connections)

    @property
    def live(self):
        return [c for c in self.connections if not c.ended.is_set() and not c.closed]

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            connection = Connection(self, sock)
            with self.lock:
                self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            self.behaviour(connection)
        except (Cut, OSError):
            connection.ended.set()
        except Exception as error:
            self.faults.append(error)
            raise
        finally:
            connection.close()

    def become(self, behaviour):
        """Takes a new behaviour and ends what is open, so that no old one answers any more."""
        self.behaviour = behaviour
        self.farewell(list(self.connections))

    def reset(self, behaviour=well_behaved):
        """Forgets what was seen, ends what is open, and takes a new behaviour."""
        self.behaviour = behaviour
        with self.lock:
            old, self.connections, self.requests, self.faults = self.connections, [], [], []
        self.farewell(old)

    @staticmethod
    def farewell(connections):
        """Ends connections so that the edge has noticed it before the next request comes."""
        said = []
        for connection in connections:
            try:
                connection.socket.shutdown(socket.SHUT_WR)
                said.append(connection)
            except OSError:
                pass
        deadline = time.monotonic() + 0.3
        for connection in said:
            connection.ended.wait(max(0, deadline - time.monotonic()))
        for connection in connections:
            connection.close()

    def close(self):
        self.listener.close()
        self.reset()
