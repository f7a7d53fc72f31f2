"""The console's Deployment, its Service and its route."""

import pytest
from typer.testing import CliRunner

from crowdserve.cli.app import app
from crowdserve.console.access import TOKEN_VARIABLE
from crowdserve.console.hosts import Hosts, UnknownHost, read_console_hosts
from crowdserve.console.joined import DEFAULT_PORT
from tests.support.rendering import Chart, Manifests, Object


def container(manifests: Manifests, kind: str) -> Object:
    (found,) = manifests.one(kind)["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def options(of: Object, name: str) -> list[str]:
    """What a command is given for an option, each time that it is there."""
    words = [*of["command"], *of.get("args", [])]
    return [words[at + 1] for at, word in enumerate(words) if word == name]


def test_it_is_off_by_default_and_no_transformer_has_it(chart: Chart) -> None:
    manifests = chart.render()
    assert not manifests.all("Deployment")
    assert "console" not in str(manifests)


def test_its_command_is_one(chart: Chart) -> None:
    console = container(chart.render("console"), "Deployment")
    assert console["command"][:2] == ["crowdserve", "console"]
    assert options(console, "--url") == ["http://rel-predictor.ns.svc"]
    assert options(console, "--watcher") == ["rel-watcher.ns.svc", "elsewhere.example:9200"]
    known = CliRunner().invoke(app, ["console", "--help"], env={"COLUMNS": "200"}).output
    for option in (each for each in [*console["command"], *console["args"]] if each.startswith("--")):
        assert option in known


def test_one_secret_is_the_token_of_console_and_watchers(chart: Chart) -> None:
    manifests = chart.render("cameras")
    token = {"name": TOKEN_VARIABLE, "valueFrom": {"secretKeyRef": {"name": "console", "key": "token"}}}
    assert token in container(manifests, "Deployment")["env"]
    assert token in container(manifests, "StatefulSet")["env"]
    assert TOKEN_VARIABLE not in str(chart.render("cameras", console={"tokenSecretName": ""}))


def test_it_follows_the_watchers_of_its_release_with_their_image_and_service(chart: Chart) -> None:
    for release, deployment in (("rel", {}), ("other", {"transformer": {"mode": "standalone"}})):
        manifests = chart.render("cameras", release=release, **deployment)
        console, watcher = container(manifests, "Deployment"), container(manifests, "StatefulSet")
        assert console["image"] == watcher["image"]
        (address,) = options(console, "--watcher")
        headless = manifests.one("Service", address.removesuffix(".ns.svc"))["spec"]
        assert (headless["clusterIP"], headless["ports"][0]["port"]) == ("None", DEFAULT_PORT)
        labels = manifests.one("StatefulSet")["spec"]["template"]["metadata"]["labels"]
        assert headless["selector"].items() <= labels.items()
        front = "transformer" if deployment else "predictor"
        assert options(console, "--url") == options(watcher, "--url") == [f"http://{release}-{front}.ns.svc"]


def test_each_default_gives_way_to_a_value(chart: Chart) -> None:
    image = {"repository": "registry.example/mine", "digest": f"sha256:{'5' * 64}", "pullPolicy": "Always"}
    named = {"image": image, "watchers": ["elsewhere.example"], "serviceUrl": "http://counter.other.svc"}
    console = container(chart.render("cameras", console=named), "Deployment")
    assert console["image"] == f"registry.example/mine@sha256:{'5' * 64}"
    assert console["imagePullPolicy"] == "Always"
    assert options(console, "--watcher") == ["elsewhere.example"]
    assert options(console, "--url") == ["http://counter.other.svc"]
    inherited = {"repository": "registry.example/w", "tag": "7", "pullPolicy": "Never"}
    console = container(chart.render("cameras", watcher={"image": inherited}), "Deployment")
    assert (console["image"], console["imagePullPolicy"]) == ("registry.example/w:7", "Never")
    alone = chart.render("cameras", watcher={"enabled": False})
    assert options(container(alone, "Deployment"), "--watcher") == []


def test_only_prometheus_and_the_console_reach_watchers_and_the_console_reaches_the_service(chart: Chart) -> None:
    manifests = chart.render("cameras")
    labels = manifests.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    watched, served = (manifests.one("NetworkPolicy", name)["spec"]["ingress"] for name in ("rel-watcher", "rel"))
    own = [rule["from"][0]["podSelector"]["matchLabels"] for rule in (watched[0], served[0])]
    assert all(selected.items() <= labels.items() for selected in own)
    assert own[0]["app.kubernetes.io/component"] == "console"
    assert {"port": 8080, "protocol": "TCP"} in served[0]["ports"]
    alone = chart.render("cameras", console={"enabled": False})
    assert len(alone.one("NetworkPolicy", "rel-watcher")["spec"]["ingress"]) == 1


@pytest.mark.parametrize(("base", "gateway"), [("cameras", False), ("console", True)])
def test_notes_say_how_to_open_it(chart: Chart, base: str, gateway: bool) -> None:
    def notes(*more: str) -> str:
        values = ("--values", f"ci/{base}-values.yaml", *more)
        return chart.run("install", "rel", ".", "--namespace", "ns", "--dry-run=client", *values).stdout

    told = notes()
    assert "kubectl --namespace ns port-forward service/rel-console 8090:80" in told
    assert ("https://count.example.com/console/" in told) is gateway
    assert "read-only" not in told
    assert "read-only without console.tokenSecretName" in notes("--set", "console.tokenSecretName=")
    if gateway:
        assert "Set route.hostnames or console.hosts" in notes("--set", "route.hostnames=null")


def test_a_route_of_its_own_that_does_not_end_what_pages_are_told(chart: Chart) -> None:
    route = chart.render("console").one("HTTPRoute", "rel-console")
    (rule,) = route["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/console"}}]
    assert rule["timeouts"] == {"request": "0s"}
    assert rule["backendRefs"][0]["name"] == "rel-console"
    assert len(chart.render("console", route={"enabled": False}).all("HTTPRoute")) == 0


def test_the_service_and_the_network_policy_lead_to_its_port(chart: Chart) -> None:
    manifests = chart.render("console")
    labels = manifests.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert manifests.one("Service", "rel-console")["spec"]["selector"].items() <= labels.items()
    policy = manifests.one("NetworkPolicy", "rel")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    (port,) = container(manifests, "Deployment")["ports"]
    assert any({"port": port["containerPort"], "protocol": "TCP"} in rule["ports"] for rule in policy["ingress"])


def test_it_answers_under_the_names_of_its_service_its_gateway_and_those_listed(chart: Chart) -> None:
    def hosts(manifests: Manifests) -> Hosts:
        (listed,) = options(container(manifests, "Deployment"), "--console-hosts")
        return Hosts(read_console_hosts(listed))

    service = ["rel-console", "rel-console.ns", "rel-console.ns.svc", "rel-console.ns.svc.cluster.local"]
    gateway, other = "count.example.com", "console.example.net"
    by_default = hosts(chart.render("console"))
    for name in (*service, gateway, "127.0.0.1:8090", "localhost:8090", "10.1.2.3"):
        by_default.check(name)
    listed = hosts(chart.render("console", console={"hosts": [other, "*.example.org"]}, route={"enabled": False}))
    for name in (*service, other, "a.example.org"):
        listed.check(name)
    for of, name in ((by_default, other), (by_default, "evil.example"), (listed, gateway)):
        with pytest.raises(UnknownHost):
            of.check(name)


@pytest.mark.parametrize("host", ["https://console.example.com", "console.example.com:8443", "a.*.example.com", ""])
def test_a_host_that_is_no_name(chart: Chart, host: str) -> None:
    assert "console/hosts" in chart.refusal("console", console={"hosts": [host]})


@pytest.mark.parametrize("watcher", ["http://host:1", "user@host"])
def test_a_watcher_that_is_no_address(chart: Chart, watcher: str) -> None:
    assert "console/watchers" in chart.refusal("console", console={"watchers": [watcher]})


def test_an_image_is_asked_for(chart: Chart) -> None:
    assert "watcher.image.repository" in chart.refusal("console", console={"image": {"repository": ""}})


def test_it_needs_rest(chart: Chart) -> None:
    assert "set console.serviceUrl" in chart.refusal(
        "knative-grpc", console={"enabled": True, "image": {"repository": "a"}}
    )
