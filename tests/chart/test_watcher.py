"""Watchers of cameras: a StatefulSet that divides them, and what reaches it."""

from pathlib import Path

import yaml
from typer.testing import CliRunner

from crowdserve.cli.app import app
from crowdserve.live.configuration import Site
from tests.support.rendering import Chart, Object

MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def container(chart: Chart, **values: object) -> Object:
    (found,) = chart.render("watcher", **values).one("StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_nothing_of_it_is_there_by_default(chart: Chart) -> None:
    assert not chart.render().all("StatefulSet") + chart.render().all("Role")


def test_watchers_share_a_name_for_their_leases_and_each_has_its_own(chart: Chart) -> None:
    manifests = chart.render("watcher")
    (service,) = [each for each in manifests.all("Service") if each["metadata"]["name"] == "rel-watcher"]
    stateful = manifests.one("StatefulSet")["spec"]
    assert service["spec"]["clusterIP"] == "None"
    assert stateful["serviceName"] == "rel-watcher"
    assert service["spec"]["selector"].items() <= stateful["template"]["metadata"]["labels"].items()
    env = {each["name"]: each for each in container(chart)["env"]}
    assert env["CROWDSERVE_WATCH_DIVIDE"]["value"] == "rel-watcher"
    assert env["CROWDSERVE_WATCH_LEASE"]["value"] == "15s"
    assert env["CROWDSERVE_WATCH_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert env["CROWDSERVE_POD_UID"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.uid"


def test_they_call_this_releases_service_unless_another_is_named(chart: Chart) -> None:
    assert container(chart)["args"] == ["--url", "http://rel-predictor.ns.svc", "--model", "crowdserve"]
    named = container(chart, watcher={"serviceUrl": "http://counter.other.svc"}, transformer={"modelName": "heads"})
    assert named["args"] == ["--url", "http://counter.other.svc", "--model", "heads"]


def test_the_configuration_is_one_that_watch_reads_with_the_port_that_is_scraped(chart: Chart) -> None:
    text = chart.render("watcher").one("ConfigMap", "rel-watcher")["data"]["cameras.yaml"]
    site = Site.model_validate(yaml.safe_load(text))
    assert [camera.name for camera in site.cameras] == ["gate", "platform"]
    assert [port["containerPort"] for port in container(chart)["ports"]] == [site.metrics_port]
    named = chart.render("watcher", watcher={"site": None, "existingConfigMap": "cameras"})
    assert not [each for each in named.all("ConfigMap") if each["metadata"]["name"] == "rel-watcher"]


def test_another_port_would_be_looked_for_in_vain(chart: Chart) -> None:
    assert "watcher.site.metrics_port is 9200" in chart.refusal("watcher", watcher={"site": {"metrics_port": 9200}})
    assert chart.render("watcher", watcher={"site": {"metrics_port": 9108}}).all("StatefulSet")


def test_the_command_reads_what_is_mounted(chart: Chart, tmp_path: Path) -> None:
    watcher = container(chart)
    mounted = tmp_path / "cameras.yaml"
    mounted.write_text(chart.render("watcher").one("ConfigMap", "rel-watcher")["data"]["cameras.yaml"])
    program, *words = [*watcher["command"], *watcher["args"]]
    words[words.index("/config/cameras.yaml")] = str(mounted)
    secrets = dict.fromkeys(("CAMERA_USER", "CAMERA_PASSWORD", "DB_PASSWORD"), "secret")
    done = CliRunner().invoke(app, [*words, "--check"], env=secrets)
    assert program == "crowdserve"
    assert "2 cameras, no fault found" in done.output


def test_exactly_one_place_has_the_cameras(chart: Chart) -> None:
    expected = "exactly one of them has the cameras"
    assert expected in chart.refusal("watcher", watcher={"existingSecret": "x"})
    assert expected in chart.refusal("watcher", watcher={"site": None})
    assert "watcher.image.repository is empty" in chart.refusal("watcher", watcher={"image": {"repository": ""}})


def test_without_a_console_only_prometheus_reaches_them_unless_they_are_open_to_all(chart: Chart) -> None:
    (rule,) = chart.render("watcher").one("NetworkPolicy", "rel-watcher")["spec"]["ingress"]
    assert rule == {"ports": [{"port": 9108, "protocol": "TCP"}], "from": [MONITORING]}
    open_to_all = {"networkPolicy": {"openToAll": True, "clients": [], "monitoring": []}}
    (rule,) = chart.render("watcher", **open_to_all).one("NetworkPolicy", "rel-watcher")["spec"]["ingress"]
    assert "from" not in rule


def test_every_watcher_may_keep_a_volume(chart: Chart) -> None:
    assert "volumeClaimTemplates" not in chart.render("watcher").one("StatefulSet")["spec"]
    kept = chart.render("watcher", watcher={"storage": {"enabled": True, "size": "9Gi"}}).one("StatefulSet")["spec"]
    assert kept["volumeClaimTemplates"][0]["spec"]["resources"] == {"requests": {"storage": "9Gi"}}
    assert "data" not in [volume["name"] for volume in kept["template"]["spec"]["volumes"]]
