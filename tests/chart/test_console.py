"""The console's Deployment, its Service and its route."""

import pytest
from typer.testing import CliRunner

from crowdserve.cli.app import app
from tests.support.rendering import Chart


def test_it_is_off_by_default_and_no_transformer_has_it(chart: Chart) -> None:
    manifests = chart.render()
    assert not manifests.all("Deployment")
    assert "console" not in str(manifests)


def test_its_command_is_one(chart: Chart) -> None:
    deployment = chart.render("console").one("Deployment", "rel-console")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["command"][:2] == ["crowdserve", "console"]
    arguments = [*container["command"][1:], *container["args"]]
    assert arguments[arguments.index("--url") + 1] == "http://rel-predictor.ns.svc"
    watchers = [arguments[at + 1] for at, each in enumerate(arguments) if each == "--watcher"]
    assert watchers == ["rel-watcher.ns.svc", "elsewhere.example:9200"]
    known = CliRunner().invoke(app, ["console", "--help"], env={"COLUMNS": "200"}).output
    for option in (each for each in arguments if each.startswith("--")):
        assert option in known


def test_the_token_is_a_file(chart: Chart) -> None:
    spec = chart.render("console").one("Deployment")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert {"name": "CROWDSERVE_CONSOLE_TOKEN_FILE", "value": "/token/token"} in container["env"]
    assert {"name": "token", "secret": {"secretName": "console", "defaultMode": 0o440}} in spec["volumes"]
    readable = chart.render("console", console={"tokenSecretName": ""})
    assert "token" not in str(readable.one("Deployment")["spec"]["template"]["spec"]["volumes"])


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
    (container,) = manifests.one("Deployment")["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert any({"port": port["containerPort"], "protocol": "TCP"} in rule["ports"] for rule in policy["ingress"])


@pytest.mark.parametrize("watcher", ["http://host:1", "user@host"])
def test_a_watcher_that_is_no_address(chart: Chart, watcher: str) -> None:
    assert "console/watchers" in chart.refusal("console", console={"watchers": [watcher]})


def test_an_image_is_asked_for(chart: Chart) -> None:
    assert "console.image.repository" in chart.refusal("console", console={"image": {"repository": ""}})
