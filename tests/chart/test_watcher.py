"""Watchers of cameras: a StatefulSet that divides them, and what reaches it."""

import yaml

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
    assert container(chart)["command"][-2:] == ["--url", "http://rel-predictor.ns.svc"]
    named = container(chart, watcher={"serviceUrl": "http://counter.other.svc"})
    assert named["command"][-1] == "http://counter.other.svc"


def test_the_configuration_is_one_that_watch_reads_with_the_port_that_is_scraped(chart: Chart) -> None:
    text = chart.render("watcher").one("ConfigMap", "rel-watcher")["data"]["cameras.yaml"]
    site = Site.model_validate(yaml.safe_load(text))
    assert [camera.name for camera in site.cameras] == ["gate", "platform"]
    assert [port["containerPort"] for port in container(chart)["ports"]] == [site.metrics_port]
    named = chart.render("watcher", watcher={"site": None, "existingConfigMap": "cameras"})
    assert not [each for each in named.all("ConfigMap") if each["metadata"]["name"] == "rel-watcher"]


def test_exactly_one_place_has_the_cameras(chart: Chart) -> None:
    expected = "exactly one of them has the cameras"
    assert expected in chart.refusal("watcher", watcher={"existingSecret": "x"})
    assert expected in chart.refusal("watcher", watcher={"site": None})
    assert "watcher.image.repository is empty" in chart.refusal("watcher", watcher={"image": {"repository": ""}})


def test_only_prometheus_and_the_release_reach_them(chart: Chart) -> None:
    policy = chart.render("watcher").one("NetworkPolicy", "rel-watcher")["spec"]
    assert [rule["ports"] for rule in policy["ingress"]] == [[{"port": 9108, "protocol": "TCP"}]] * 2
    assert policy["ingress"][1]["from"] == [MONITORING]
    open_to_all = {"networkPolicy": {"openToAll": True, "clients": [], "monitoring": []}}
    assert (
        "from" not in chart.render("watcher", **open_to_all).one("NetworkPolicy", "rel-watcher")["spec"]["ingress"][1]
    )


def test_every_watcher_may_keep_a_volume(chart: Chart) -> None:
    assert "volumeClaimTemplates" not in chart.render("watcher").one("StatefulSet")["spec"]
    kept = chart.render("watcher", watcher={"storage": {"enabled": True, "size": "9Gi"}}).one("StatefulSet")["spec"]
    assert kept["volumeClaimTemplates"][0]["spec"]["resources"] == {"requests": {"storage": "9Gi"}}
    assert "data" not in [volume["name"] for volume in kept["template"]["spec"]["volumes"]]
