"""Names under which pages are served: not those by which another site leads browsers here."""

import socket

import httpx
import pytest

from crowdserve.console.hosts import Hosts, UnknownHost, chosen_hosts, read_console_hosts
from crowdserve.errors import SetupError

KNOWN = [
    "127.0.0.1",
    "127.0.0.1:9108",
    "192.0.2.7:8080",
    "[::1]:8080",
    "[2001:db8::7]",
    "localhost",
    "LOCALHOST:1",
    "localhost.",
    "crowd.localhost:8080",
    socket.gethostname(),
    f"{socket.gethostname().partition('.')[0]}.local:8080",
    "bound.example",
    "listed.example:8443",
    "Listed.Example",
    "a.below.example",
    "a.b.below.example",
]
UNKNOWN = [
    None,
    "",
    "evil.example",
    "evil.example:9108",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evillocalhost",
    "below.example",
    "evilbelow.example",
    "listed.example@evil.example",
    "evil.example/listed.example",
    "[evil.example]",
    "listed.example:evil",
    "listed.example:8080:8080",
    "*",
    "*.below.example",
    "ｌocalhost",
    "evil.example, listed.example",
    "x" * 100_000,
]


@pytest.fixture(scope="module")
def hosts() -> Hosts:
    return Hosts(read_console_hosts("listed.example, *.below.example,"), "bound.example")


@pytest.mark.parametrize("host", KNOWN)
def test_known(hosts: Hosts, host: str) -> None:
    hosts.check(host)


def test_a_machine_whose_name_has_a_domain_is_known_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Box.corp.example")
    own = Hosts()
    for host in ("box.corp.example:8080", "box:8080", "box.local"):
        own.check(host)
    with pytest.raises(UnknownHost):
        own.check("box.evil.example")


@pytest.mark.parametrize("host", UNKNOWN)
def test_unknown(hosts: Hosts, host: str | None) -> None:
    with pytest.raises(UnknownHost, match="CROWDSERVE_CONSOLE_HOSTS") as found:
        hosts.check(host)
    assert len(str(found.value)) < 400


def test_every_name() -> None:
    Hosts(read_console_hosts("*")).check("evil.example")


@pytest.mark.parametrize(
    "name", ["https://a.example", "a.example:8443", "a.*.example", "*.", "a b", "a/b", "späte.example"]
)
def test_what_cannot_be_listed(name: str) -> None:
    with pytest.raises(SetupError, match="is no name"):
        chosen_hosts(f"good.example,{name}", "127.0.0.1")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "camera?name=a"),
        ("GET", "static/console.css"),
        ("GET", "api/events"),
        ("GET", "api/session"),
        ("GET", "api/cameras/a/picture"),
        ("POST", "api/login"),
        ("PUT", "api/cameras/a/zones"),
        ("POST", "api/count"),
        ("GET", "nothing"),
    ],
)
def test_no_part_of_the_console_answers_under_another_name(console: str, method: str, path: str) -> None:
    reply = httpx.request(method, console + path, headers={"host": "evil.example"}, trust_env=False)
    assert reply.status_code == 421
    assert "evil.example" in reply.text
    assert "CROWDSERVE_CONSOLE_HOSTS" in (reply.json()["error"] if path.startswith("api/") else reply.text)
    assert reply.headers["content-security-policy"]


def test_metrics_are_for_programs_under_any_name_and_for_browsers_under_its_own(console: str) -> None:
    def status(**headers: str) -> int:
        return httpx.get(console.replace("console/", "metrics"), headers=headers, trust_env=False).status_code

    browser = {"accept-language": "en"}
    assert status(host="watcher.prometheus.example") == 200
    assert status(**browser) == 200
    assert status(host="evil.example", **browser) == 421
