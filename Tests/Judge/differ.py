"""Where do other parsers read a request that we take in another way?

Spoils requests at random, gives each to our parser (codec-judge) and to three others, and prints
those that we take and another takes too, but with another method, target or body: there one of us is
wrong about where a message ends. That we refuse what others take is expected and not told.

    python3 Tests/Judge/differ.py JUDGE COUNT [SEED]     (needs h11, httptools, gunicorn)
    python3 Tests/Judge/differ.py --json JUDGE COUNT [SEED]

With --json it spoils JSON texts and compares our verdict with Python's reader and our further rules.
"""

import json
import random
import re
import struct
import subprocess
import sys
from pathlib import Path

try:
    import gunicorn.config
    import gunicorn.http.parser
    import h11
    import httptools
except ImportError:
    if "--json" not in sys.argv:
        raise

ROOT = Path(__file__).resolve().parents[2]
SPOILERS = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b"\t", b" ", b"\x0b", b"\x7f", b"\x80", b"\xff", b":", b";",
    b",", b"_", b"0", b"+", b"-", b"0x", b"ffffffff", b"Content-Length: 3\r\n", b"Content-Length: 30\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Host: b\r\n", b"chunked",
    b", chunked", b" HTTP/1.1", b" HTTP/1.0", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b";a=b", b"\r\n ",
    b"GET /x HTTP/1.1\r\nHost: b\r\n\r\n", b"X: y\r\n", b"Trailer: x\r\n",
]
OWN = [
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nVary: z\r\n\r\n",
    b"POST /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
    b"GET /a HTTP/1.1\r\nHost: a\r\nAccept: x, y\r\nCookie: a=b\r\n\r\n",
]
FOLLOWING = b"GET /following HTTP/1.1\r\nHost: a\r\n\r\n"


def corpus():
    for file in sorted((ROOT / "Tests/Vectors/http").glob("*/*.http")):
        text = file.read_bytes().replace(b"\n", b"")
        for escape, value in ((rb"\r", b"\r"), (rb"\n", b"\n"), (rb"\0", b"\0"), (rb"\t", b"\t")):
            text = text.replace(escape, value)
        text = re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda m: bytes([int(m[1], 16)]), text)
        if len(text) > 1500:
            continue
        if b"ost:" not in text:
            text = text.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nHost: a\r\n", 1)
        yield text


def spoil(dice, text):
    text = bytearray(text)
    for _ in range(dice.randint(1, 3)):
        place, kind = dice.randint(0, len(text)), dice.randint(0, 6)
        if kind == 0 and place < len(text):
            text[place] ^= 1 << dice.randint(0, 7)
        elif kind == 1:
            del text[place:place + dice.randint(1, 6)]
        elif kind == 2:
            piece = text[place:place + dice.randint(1, 40)]
            at = dice.randint(0, len(text))
            text[at:at] = piece
        else:
            text[place:place] = dice.choice(SPOILERS)
    return bytes(text)


class Httptools:
    """llhttp, with its strict defaults."""

    def __init__(self):
        self.messages, self.target, self.body = [], b"", b""

    def on_message_begin(self):
        self.target, self.body = b"", b""

    def on_url(self, url):
        self.target += url

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        self.messages.append((self.parser.get_method(), self.target, self.body))

    @classmethod
    def read(cls, data):
        self = cls()
        self.parser = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            pass
        return self.messages


def read_h11(data):
    connection, messages = h11.Connection(h11.SERVER), []
    connection.receive_data(data)
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                head, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                messages.append((bytes(head.method), bytes(head.target), body))
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return messages
                connection.start_next_cycle()
            else:
                return messages
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return messages


def read_gunicorn(data):
    messages = []
    settings = gunicorn.config.Config()
    parser = gunicorn.http.parser.RequestParser(settings, iter([data]), ("127.0.0.1", 1))
    try:
        for request in parser:
            body = request.body.read()
            messages.append((request.method.encode(), request.uri.encode("latin-1"), body))
    except Exception:  # the parser has many; each is a refusal
        pass
    return messages


OTHERS = {"httptools": Httptools.read, "h11": read_h11, "gunicorn": read_gunicorn}


def is_json(data):
    """Python's verdict, and the rules that it does not have."""
    def pairs(found):
        names = [name for name, _ in found]
        if len(set(names)) < len(names):
            raise ValueError
        return dict(found)

    def no_constant(_):
        raise ValueError

    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=no_constant, parse_int=str)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # lone surrogates end here
    except (ValueError, RecursionError):
        return False
    depth = deepest = 0
    for piece in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{\]}]', text):
        if piece[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif piece[0] in "]}":
            depth -= 1
    return deepest <= 64


def compare_json(program, count, seed):
    judge = subprocess.Popen([program, "json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    dice = random.Random(seed)
    seeds = [f.read_bytes() for f in (ROOT / "Tests/Vectors/json").glob("*.json")]
    seeds = [s for s in seeds if len(s) < 300 and is_json(s)]
    seeds.append(rb'{"jsonrpc":"2.0","id":7,"params":{"a":[1,-0.5e+3,null,{"\u0062":"\ud83d\ude00"}],"b":"\n"}}')
    spoilers = [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\\u0061", b"\\ud800", b"\\udc00",
                b"\xc3\xa9", b"\xed\xa0\x80", b"\xff", b"0", b"-", b"+", b".", b"e5", b"null", b"\0", b" ",
                b"\t", b"\r\n", b"\x0c", b'"a":1,', b"[" * 40, b"]" * 40, b"\xef\xbb\xbf"]
    good = differences = 0
    for _ in range(count):
        text = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(0, 3)):
            place = dice.randint(0, len(text))
            match dice.randint(0, 3):
                case 0: text[place:place] = dice.choice(spoilers)
                case 1: del text[place:place + dice.randint(1, 3)]
                case 2: text[place:place] = text[dice.randint(0, place):place]
                case 3 if place < len(text): text[place] ^= 1 << dice.randint(0, 7)
        text = bytes(text)
        judge.stdin.write(struct.pack(">I", len(text)) + text)
        judge.stdin.flush()
        ours = judge.stdout.readline() == b"good\n"
        if ours:
            judge.stdout.readline()
        good += ours
        if ours != is_json(text):
            differences += 1
            print(f"ours {ours}: {text!r}", flush=True)
    print(f"seed {seed}: {count} texts, {good} good, {differences} differences")
    sys.exit(1 if differences else 0)


def main():
    if sys.argv[1] == "--json":
        seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(10**9)
        compare_json(sys.argv[2], int(sys.argv[3]), seed)
    judge = subprocess.Popen(sys.argv[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    count = int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(10**9)
    dice, seeds = random.Random(seed), OWN * 40 + list(corpus())
    taken = differences = 0
    agreed = dict.fromkeys(OTHERS, 0)

    def unhex(text):
        return b"" if text == b"-" else bytes.fromhex(text.decode())

    for number in range(count):
        text = spoil(dice, dice.choice(seeds)) + FOLLOWING
        judge.stdin.write(struct.pack(">I", len(text)) + text)
        judge.stdin.flush()
        ours = []
        while (line := judge.stdout.readline().strip()) != b"end":
            ours.append(tuple(unhex(part) for part in line.split()))
        if not ours:
            continue
        taken += 1
        for name, read in OTHERS.items():
            theirs = read(text)
            common = min(len(ours), len(theirs))
            if ours[:common] == theirs[:common]:
                agreed[name] += bool(common)
                continue
            differences += 1
            print(f"{name}: {text!r}\n  ours   {ours}\n  theirs {theirs}", flush=True)
    print(f"seed {seed}: {count} requests, {taken} taken, agreed {agreed}, {differences} differences")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
