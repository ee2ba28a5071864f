# A peer at the services' sockets, made of raw bytes: it greets as a service, makes calls and answers
# them. With it a test is billing where billing itself is not started, and nothing else of it.

import json
import socket
import struct
import threading


def frame(kind, payload, version=1, number=1):
    return struct.pack(">IBBQI", 14 + len(payload), version, kind, number, 10_000) + payload


def greeting(service):
    value = {"service": service, "build": "test", "lowest": 1, "highest": 1}
    return frame(1, json.dumps(value).encode(), 0, 0)


def read_frame(wire):
    def take(count):
        data = b""
        while len(data) < count:
            piece = wire.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data
    (length,) = struct.unpack(">I", take(4))
    _, kind, number, _ = struct.unpack(">BBQI", take(14))
    return kind, number, take(length - 14)


class Refused(Exception):
    """The answering side said no."""


def call(system, to, name, request, service="billing"):
    """Makes one call as `service`."""
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(15)
        wire.connect(str(system.run / f"{to}.rpc.sock"))
        text = name.encode()
        wire.sendall(greeting(service)
                     + frame(2, bytes([len(text)]) + text + json.dumps(request).encode()))
        assert read_frame(wire)[0] == 1
        kind, _, payload = read_frame(wire)
    if kind == 4:
        raise Refused(payload.decode())
    assert kind == 3
    return json.loads(payload)


class Peer:
    """Answers the calls that are made to `service`: `answers` maps names to functions of requests."""

    def __init__(self, system, service, answers):
        self.service, self.answers, self.asked, self.wires = service, answers, [], []
        self.path = system.run / f"{service}.rpc.sock"
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.path.chmod(0o660)
        self.listener.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for each in [self.listener, *self.wires]:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # its peer was faster
            each.close()
        self.path.unlink(missing_ok=True)

    def accept(self):
        while True:
            try:
                wire, _ = self.listener.accept()
            except OSError:
                return
            self.wires.append(wire)
            threading.Thread(target=self.serve, args=(wire,), daemon=True).start()

    def serve(self, wire):
        try:
            wire.sendall(greeting(self.service))
            assert read_frame(wire)[0] == 1
            while True:
                kind, number, payload = read_frame(wire)
                assert kind == 2
                name = payload[1:1 + payload[0]].decode()
                request = json.loads(payload[1 + payload[0]:])
                self.asked.append((name, request))
                if name in self.answers:
                    answer = self.answers[name](request)
                    wire.sendall(frame(3, json.dumps(answer).encode(), number=number))
                else:
                    wire.sendall(frame(4, b"unknown_call", number=number))
        except (EOFError, OSError):
            pass
