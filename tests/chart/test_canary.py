"""A second version beside the first, and the traffic that reaches it."""

import pytest

import crowdserve
from crowdserve_transformer.settings import read_settings
from crowdserve_transformer.transport.rpc.health import HEALTH_SERVICE
from crowdserve_transformer.transport.rpc.protocol import methods
from crowdserve_transformer.transport.rpc.reflection import REFLECTION_SERVICES
from tests.support.rendering import Chart

GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "gateways"}
PATHS = [{"path": {"type": "PathPrefix", "value": path}} for path in ("/v1", "/v2", "/openapi.json", "/docs")]
PUBLISHED = (
    "ModelConfig", "ModelInfer", "ModelMetadata", "ModelReady", "ModelStatistics", "ModelStreamInfer",
    "RepositoryIndex", "ServerLive", "ServerMetadata", "ServerReady",
)  # fmt: skip
METHODS = [
    *({"method": {"type": "Exact", "service": "inference.GRPCInferenceService", "method": name}} for name in PUBLISHED),
    {"method": {"type": "Exact", "service": HEALTH_SERVICE}},
]
CANARY_ONLY = {
    "headers": [{"name": "x-crowdserve-track", "type": "Exact", "value": "5d41402abc4b2a76b9719d911017c592"}]
}
MOST_MATCHES = 64
"""Of a rule, by the CRD of Gateway API 1.2 and later."""

TIMEOUTS = {"request": "120s"}


def backend(name: str, weight: int, port: int = 80) -> dict[str, object]:
    """A backend as the API server stores it."""
    return {"group": "", "kind": "Service", "name": name, "port": port, "weight": weight}


def test_route_without_a_canary_leads_to_stable(chart: Chart) -> None:
    route = chart.render("canary", canary={"enabled": False}).one("HTTPRoute", "rel")["spec"]
    assert route == {
        "parentRefs": [GATEWAY],
        "hostnames": ["count.example.com"],
        "rules": [{"matches": PATHS, "backendRefs": [backend("rel-predictor", 1)], "timeouts": TIMEOUTS}],
    }


def test_route_splits_by_weight_and_header_selects_the_canary(chart: Chart) -> None:
    route = chart.render("canary").one("HTTPRoute", "rel")["spec"]
    alone, split = route["rules"]
    only = [CANARY_ONLY | path for path in PATHS]
    assert alone == {"matches": only, "backendRefs": [backend("rel-canary-predictor", 1)], "timeouts": TIMEOUTS}
    both = [backend("rel-predictor", 90), backend("rel-canary-predictor", 10)]
    assert split == {"matches": PATHS, "backendRefs": both, "timeouts": TIMEOUTS}


def test_published_paths_are_a_value(chart: Chart) -> None:
    route = chart.render("canary", route={"paths": ["/v2/models"]}).one("HTTPRoute", "rel")["spec"]
    assert [[match["path"]["value"] for match in rule["matches"]] for rule in route["rules"]] == [["/v2/models"]] * 2


def test_published_methods_are_those_of_callers() -> None:
    """The service has no method that loads or unloads models; every one that it has is published."""
    assert set(PUBLISHED) == set(methods())
    assert not [name for name in methods() if "Load" in name]


def test_only_who_knows_the_value_of_the_header_reaches_the_canary_alone(chart: Chart) -> None:
    manifests = chart.render("canary", canary={"headerValue": "known-to-two-testers"})
    for kind in ("HTTPRoute", "GRPCRoute"):
        alone, _ = manifests.one(kind)["spec"]["rules"]
        assert {match["headers"][0]["value"] for match in alone["matches"]} == {"known-to-two-testers"}


def test_grpc_route_splits_equally_under_its_own_host_name(chart: Chart) -> None:
    route = chart.render("canary").one("GRPCRoute", "rel-grpc")["spec"]
    assert route["hostnames"] == ["grpc.count.example.com"]
    assert route["parentRefs"] == [GATEWAY]
    assert route["rules"] == [
        {
            "matches": [CANARY_ONLY | each for each in METHODS],
            "backendRefs": [backend("rel-canary-predictor", 1, 8081)],
        },
        {
            "matches": METHODS,
            "backendRefs": [backend("rel-predictor", 90, 8081), backend("rel-canary-predictor", 10, 8081)],
        },
    ]
    chosen = chart.render("everything").one("GRPCRoute")
    assert chosen["metadata"]["annotations"] == {"example.com/policy": "keys"}
    assert chosen["spec"]["parentRefs"] == [GATEWAY | {"sectionName": "grpc"}]


def test_reflection_is_published_by_a_value(chart: Chart) -> None:
    rules = chart.render("canary", route={"grpc": {"reflection": True}}).one("GRPCRoute")["spec"]["rules"]
    for rule in rules:
        services = [match["method"]["service"] for match in rule["matches"]]
        assert services[len(METHODS) :] == list(REFLECTION_SERVICES)
        assert len(services) <= MOST_MATCHES


def test_routes_lead_to_a_standalone_transformer(chart: Chart) -> None:
    route = chart.render("everything").one("HTTPRoute")["spec"]
    names = [backend["name"] for rule in route["rules"] for backend in rule["backendRefs"]]
    assert names == ["counting-canary-transformer", "counting-transformer", "counting-canary-transformer"]


def test_weights_0_and_100_are_rendered(chart: Chart) -> None:
    for percent in (0, 100):
        route = chart.render("canary", canary={"trafficPercent": percent}).one("HTTPRoute")["spec"]
        assert [backend["weight"] for backend in route["rules"][1]["backendRefs"]] == [100 - percent, percent]


def test_both_tracks_are_complete_services_with_their_own_versions(chart: Chart) -> None:
    manifests = chart.render("canary", canary={"triton": {"image": {"tag": "26.04-py3"}}, "replicas": 2})
    stable, canary = (manifests.one("InferenceService", name) for name in ("rel", "rel-canary"))
    for service, track in ((stable, "stable"), (canary, "canary")):
        name = service["metadata"]["name"]
        assert service["metadata"]["labels"]["crowdserve.io/track"] == track
        assert service["spec"]["predictor"]["model"]["runtime"] == name
        assert "canaryTrafficPercent" not in service["spec"]["predictor"]  # ignored in Standard mode
        budget = manifests.one("PodDisruptionBudget", f"{name}-predictor")["spec"]["selector"]["matchLabels"]
        assert budget["crowdserve.io/track"] == track
    assert stable["spec"]["predictor"]["model"]["storageUri"] == "s3://models/crowdserve/1"
    assert canary["spec"]["predictor"]["model"]["storageUri"] == "s3://models/crowdserve/2"
    assert [manifests.transformer(n)["image"].rpartition(":")[2] for n in ("rel", "rel-canary")] == [
        crowdserve.__version__,
        "1.0.0",
    ]
    assert manifests.triton("rel-canary")["image"] == "nvcr.io/nvidia/tritonserver:26.04-py3"
    replicas = [service["spec"]["predictor"]["minReplicas"] for service in (stable, canary)]
    assert replicas == [1, 2]


def test_both_versions_have_the_same_model_name(chart: Chart) -> None:
    """Callers name the model in the URL, so both versions must share the name."""
    for base in ("canary", "everything"):
        manifests = chart.render(base)
        names = {
            tuple(manifests.transformer(service["metadata"]["name"])["args"][:2])
            for service in manifests.all("InferenceService")
        }
        assert names == {("--model_name", "crowdserve")}


@pytest.mark.parametrize(
    ("base", "names"),
    [
        ("default", {"rel": ("crowdserve", "rel")}),
        ("knative", {"rel": ("crowdserve", "rel")}),
        ("canary", {"rel": ("crowdserve", "rel"), "rel-canary": ("crowdserve", "rel", "rel-canary")}),
        ("standalone", {"rel": ("crowdserve", "rel")}),
    ],
)
def test_the_model_answers_to_the_names_that_kserve_calls_it_by(
    chart: Chart, base: str, names: dict[str, tuple[str, ...]]
) -> None:
    """The InferenceService's own, as an InferenceGraph does; the canary gets requests that name stable, too."""
    manifests = chart.render(base)
    found = {}
    for service in manifests.all("InferenceService"):
        container = manifests.transformer(service["metadata"]["name"])
        variables = {variable["name"]: variable["value"] for variable in container["env"]}
        found[service["metadata"]["name"]] = read_settings(container["args"], variables).model_names
    assert found == names


def test_a_release_that_is_called_like_the_model_needs_no_other_name(chart: Chart) -> None:
    container = chart.render(release="crowdserve", transformer={"modelAliases": ["heads"]}).transformer("crowdserve")
    assert {"name": "CROWDSERVE_MODEL_ALIASES", "value": "heads"} in container["env"]


def test_canary_without_values_runs_the_stable_version(chart: Chart) -> None:
    manifests = chart.render("canary", canary={"storageUri": "", "transformer": {"image": {"tag": ""}}})
    models = [each["spec"]["predictor"]["model"]["storageUri"] for each in manifests.all("InferenceService")]
    assert len(set(models)) == 1
    assert manifests.transformer("rel")["image"] == manifests.transformer("rel-canary")["image"]


def test_canary_tag_replaces_the_stable_digest(chart: Chart) -> None:
    stable = {"image": {"digest": f"sha256:{'3' * 64}"}}
    manifests = chart.render("canary", transformer=stable)
    assert manifests.transformer("rel")["image"].endswith("3" * 64)
    assert manifests.transformer("rel-canary")["image"] == "registry.example/crowdserve-transformer:1.0.0"


def test_in_knative_mode_the_canary_is_the_newest_revision(chart: Chart) -> None:
    manifests = chart.render("knative")
    service = manifests.one("InferenceService")
    assert service["metadata"]["annotations"]["serving.kserve.io/enable-tag-routing"] == "true"
    predictor = service["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 20
    assert predictor["model"]["storageUri"] == "gs://models/crowdserve/2"
    before = chart.render("knative", canary={"enabled": False}).one("InferenceService")["spec"]["predictor"]
    assert "canaryTrafficPercent" not in before
    assert before["model"]["storageUri"] == "gs://models/crowdserve/1"
