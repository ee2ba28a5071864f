# What the acceptance tests share: one running system with scripted upstreams behind it, and two
# people who are strangers to each other. Tests that stop or break processes start their own.
# A scripted upstream forgets everything before each test.

import itertools
import random
import socket

import matrix
import pytest
from provider import Provider, oauth_service
from system import System, service
from upstream import Upstream

SCRIPTED = ("alpha", "beta")
keys = itertools.count(1)


def pytest_collection_modifyitems(items):
    """What takes long by nature is judged at the end."""
    items.sort(key=lambda item: (item.path.name == "test_slow_peers.py",
                                 "keeps_its_lock" in item.name))


@pytest.fixture(scope="session", autouse=True)
def slow(request):
    """The slow peers of test_slow_peers.py, started before everything else."""
    if not any(item.path.name == "test_slow_peers.py" for item in request.session.items):
        yield None
        return
    from test_slow_peers import Slow
    started = Slow()
    yield started
    started.close()


@pytest.fixture(scope="session", autouse=True)
def stopped(request):
    """The sleeping scheduler of test_oauth_twins.py, started before everything else."""
    if not any("keeps_its_lock" in item.name for item in request.session.items):
        return None
    from test_oauth_twins import Stopped
    return Stopped()


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, default=None, help="repeats a run of random tests")


@pytest.fixture(scope="session")
def seed(request):
    value = request.config.getoption("--seed")
    value = random.SystemRandom().getrandbits(32) if value is None else value
    print(f"seed {value}")
    return value


@pytest.fixture(scope="session")
def dice(seed):
    return random.Random(seed)


@pytest.fixture(scope="session")
def scripted():
    made = {name: Upstream() for name in SCRIPTED}
    yield made
    for upstream in made.values():
        upstream.close()


@pytest.fixture(scope="session")
def dead_port():
    """A port that nobody listens on, kept from others."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    yield holder.getsockname()[1]
    holder.close()


@pytest.fixture(scope="session")
def catalogue(scripted, dead_port):
    return [*(service(name, upstream.url) for name, upstream in scripted.items()),
            service("dead", f"http://127.0.0.1:{dead_port}/mcp")]


@pytest.fixture(scope="session")
def system(catalogue):
    with System(catalogue) as running:
        yield running


@pytest.fixture
def own_system(catalogue):
    """A system for one test alone, which may break it; call it with settings."""
    running = []

    def start(settings=None, services=None):
        started = System(services or catalogue, settings)
        running.append(started)
        return started.start()

    yield start
    for each in running:
        try:
            each.stop()
        finally:
            print(each.tail())
            each.remove()


@pytest.fixture(scope="session")
def alice(system):
    return system.person()


@pytest.fixture(scope="session")
def bob(system):
    return system.person()


@pytest.fixture
def alpha(scripted):
    scripted["alpha"].reset()
    yield scripted["alpha"]
    assert not scripted["alpha"].faults


@pytest.fixture
def beta(scripted):
    scripted["beta"].reset()
    yield scripted["beta"]
    assert not scripted["beta"].faults


@pytest.fixture(scope="session")
def providers():
    """The OAuth providers of the matrix, one per row."""
    made = matrix.providers()
    yield made
    for each in made.values():
        each.close()
        assert not each.faults


@pytest.fixture(scope="session")
def oauth_system(providers):
    """A system that can connect every provider of the matrix."""
    with System(matrix.services(providers), matrix.settings(providers)) as running:
        yield running


@pytest.fixture(scope="session")
def carol(oauth_system):
    return oauth_system.person()


@pytest.fixture
def own_provider():
    """Providers for one test alone; call it with rules."""
    made = []

    def make(rules=None):
        made.append(Provider(rules))
        return made[-1]

    yield make
    for each in made:
        each.close()
        assert not each.faults


@pytest.fixture
def own_oauth(own_provider, own_system):
    """A system and a provider for one test alone: (system, provider)."""
    def start(rules=None, settings=None, refresh=None, **oauth):
        provider = own_provider(rules)
        entry = oauth_service("own", provider, refresh, **oauth)
        return own_system(settings, [entry]), provider

    return start


def key():
    return f"upstream-key-{next(keys)}-{random.SystemRandom().getrandbits(64):016x}"


@pytest.fixture(scope="session")
def alpha_access(alice):
    """Alice's zero-knowledge connection to alpha."""
    return alice.connect("alpha", key())


@pytest.fixture(scope="session")
def beta_access(bob):
    """Bob's managed connection to beta."""
    return bob.connect("beta", key(), "managed")


@pytest.fixture
def new_key():
    return key
