# Clients that are known by a document at their own URL: what a document must be, where it may be, how often
# it is fetched. The documents are served over TLS on loopback, where this system is, too.

import pytest
from consent import Client, Visitor, query
from rules import keeps, refuses
from system import System
from test_authorization_server_real import Documents


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    made = Documents(tmp_path_factory.mktemp("documents"))
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def world(documents, catalogue):
    with System(catalogue, {"UPSTREAM_CA_FILE": str(documents.ca)}) as system:
        system.one = system.person()
        system.access = system.one.connect("alpha", "key-of-documents", "managed")
        yield system


def client_of(world, url, redirect="http://127.0.0.1:9/callback"):
    return Client(world, url, redirect)


def is_known(world, url, **change):
    reply = Visitor(world.one).send("GET", client_of(world, url).ask(**change))
    assert reply.status in (200, 400) and "Location" not in reply.headers
    assert (b"<form" in reply.body) == (reply.status == 200)
    return reply.status == 200


@keeps("A13", "I12")
def test_a_client_by_document_gets_and_refreshes_tokens(world, documents):
    client = client_of(world, documents.client("/good.json"))
    visitor = Visitor(world.one)
    at, page = visitor.open(client.ask())
    assert documents.origin.removeprefix("https://").encode() in page.body
    assert b"By document" in page.body and b"127.0.0.1:9" in page.body
    tokens = client.tokens(visitor, connection=world.access.id)
    assert client.refresh(tokens["refresh_token"]).status == 200


@refuses("A13", "I12")
@pytest.mark.parametrize(("name", "change"), [
    ("another id", {"client_id": "https://127.0.0.1/other.json"}), ("no id", {"client_id": None}),
    ("no name", {"client_name": None}), ("no redirect", {"redirect_uris": []}),
    ("a bad redirect", {"redirect_uris": ["javascript:alert(1)"]}),
    ("a secret", {"token_endpoint_auth_method": "client_secret_basic"}),
    ("a key", {"token_endpoint_auth_method": "private_key_jwt"}),
    ("too much", {"policy": "x" * 6000}),
])
def test_a_wrong_document_is_no_client(name, change, world, documents):
    """It is asked for anew the next time."""
    path = f"/wrong-{abs(hash(name))}.json"
    assert not is_known(world, documents.client(path, **change))
    assert is_known(world, documents.client(path))


@refuses("A13")
@pytest.mark.parametrize(("status", "headers"), [
    (404, {}), (500, {}), (301, {"Location": "/good.json"}), (302, {"Location": "/good.json"}),
    (204, {}),
])
def test_only_200_is_a_document(status, headers, world, documents):
    """No redirect is followed."""
    documents.client("/good.json")
    before = documents.asked.count("/good.json")
    path = f"/status-{status}.json"
    url = documents.client(path)
    documents.served[path] = (status, headers, documents.served[path][2])
    assert not is_known(world, url)
    assert documents.asked.count("/good.json") == before


def test_what_is_no_object_is_no_document(world, documents):
    for number, body in enumerate((b"", b"[]", b"{", b'{"client_id":1}', b"\xff" * 10, b"<html>")):
        assert not is_known(world, documents.serve(f"/broken{number}.json", body))


def test_a_document_is_remembered_as_long_as_it_says(world, documents):
    for path, header, times in (("/kept.json", "max-age=300", 1), ("/short.json", "no-store", 3),
                                ("/zero.json", "max-age=0", 3)):
        url = documents.client(path)
        status, _, body = documents.served[path]
        documents.served[path] = (status, {"Cache-Control": header}, body)
        for _ in range(3):
            assert is_known(world, url)
        assert documents.asked.count(path) == times, path


@refuses("A13")
@pytest.mark.parametrize("url", [
    "http://127.0.0.1:9/client.json", "https://127.0.0.1:9", "https://127.0.0.1:9/",
    "https://user@127.0.0.1:9/c.json", "https://127.0.0.1:9/a/../c.json",
    "https://127.0.0.1:9/%2e%2e/c.json", "https://127.0.0.1:9/c.json#x",
    "https://10.0.0.1/c.json", "https://169.254.169.254/latest/meta-data", "https://[fd00::1]/c.json",
    "https://192.168.0.1:8443/c.json", "https://[::ffff:10.0.0.1]/c.json", "https://0.0.0.0/c.json",
    "https://100.64.0.1/c.json", "https://2130706433/c.json", "https://LOCALHOST:9/c.json",
    "https://c.example:22/c.json",
])
def test_a_document_is_nowhere_else(url, world):
    """Refused before anything is sent; nothing here leaves the machine."""
    assert not is_known(world, url)


def test_a_server_that_can_not_be_verified_is_not_asked(world, documents, tmp_path):
    stranger = Documents(tmp_path)
    try:
        assert not is_known(world, stranger.client())
        assert stranger.asked == []
    finally:
        stranger.server.shutdown()


def test_a_document_that_changes_takes_its_redirects_along(world, documents):
    """A redirect that the document no longer names is refused, whatever it named before."""
    url = documents.client("/moving.json", redirect_uris=["https://one.example/cb"])
    status, _, body = documents.served["/moving.json"]
    documents.served["/moving.json"] = (status, {"Cache-Control": "no-store"}, body)
    assert is_known(world, url, redirect_uri="https://one.example/cb")
    documents.client("/moving.json", redirect_uris=["https://two.example/cb"])
    assert not is_known(world, url, redirect_uri="https://one.example/cb")
    back = Visitor(world.one).decide(
        client_of(world, url, "https://two.example/cb").ask(), "deny")
    assert back.startswith("https://two.example/cb?") and query(back)["error"] == "access_denied"
