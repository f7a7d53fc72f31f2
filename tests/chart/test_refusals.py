"""Values that are invalid, or that Kubernetes or KServe would silently ignore, and helm's error messages."""

import json
from typing import Any

import jsonschema
import pytest

from tests.support.rendering import CHART, Chart

UNVERIFIED = {"transformer": {"settings": {"verifyBundle": "off"}}}
KEY = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
ROUTE = {"enabled": True, "parentRefs": [{"name": "public"}]}

SCHEMA: list[tuple[str, dict[str, Any], str]] = [
    ("unknown", {"replcas": 2}, "additional properties 'replcas' not allowed"),
    ("unknown deep inside", {"triton": {"image": {"tga": "x"}}}, "/triton/image"),
    ("device", {"device": "tpu"}, "'gpu', 'tensorrt', 'cpu'"),
    ("mode", {"deploymentMode": "RawDeployment"}, "'Standard', 'Knative'"),
    ("switch", {"canary": {"enabled": "yes"}}, "got string, want boolean"),
    ("percentage", {"canary": {"trafficPercent": 101}}, "maximum"),
    ("storage", {"storage": {"uri": "ftp://models"}}, "/storage/uri"),
    ("digest", {"triton": {"image": {"digest": "sha256:123"}}}, "/triton/image/digest"),
    ("digest of a bundle", {"storage": {"digest": "sha256:123"}}, "/storage/digest"),
    ("private key", {"storage": {"publicKey": "-----BEGIN EC PRIVATE KEY-----\nMFkw\n"}}, "/storage/publicKey"),
    ("key that ends the script", {"storage": {"publicKey": KEY.replace("MFkw", "KEY\n$(id)")}}, "/storage/publicKey"),
    ("header that anyone guesses", {"canary": {"headerValue": "canary"}}, "/canary/headerValue"),
    ("path without a slash", {"route": {"paths": ["v2"]}}, "/route/paths/0"),
    ("no path", {"route": {"paths": []}}, "/route/paths"),
    ("quantity", {"triton": {"shmSize": "lots"}}, "/triton/shmSize"),
    ("limit of the transformer", {"transformer": {"settings": {"maxPixels": 0}}}, "/transformer/settings/maxPixels"),
    ("address of Triton", {"triton": {"host": "localhost"}}, "/triton/host"),
    ("address in brackets", {"triton": {"host": "[::]"}}, "/triton/host"),
    ("address that runs", {"triton": {"host": "::'; id"}}, "/triton/host"),
    ("family", {"triton": {"service": {"ipFamilies": ["IPv5"]}}}, "/triton/service/ipFamilies/0"),
    ("name of a secret alone", {"autoscaling": {"keda": {"authenticationRef": "prometheus"}}}, "want object"),
    ("mode of authentication", {"autoscaling": {"keda": {"authModes": ["oauth"]}}}, "/autoscaling/keda/authModes/0"),
    (
        "two tokens at once",
        {"autoscaling": {"keda": {"authModes": ["basic", "bearer"]}}},
        "/autoscaling/keda/authModes",
    ),
    ("header that KEDA splits", {"autoscaling": {"keda": {"customHeaders": {"a": "b,c"}}}}, "/customHeaders/a"),
    ("query of one's own", {"autoscaling": {"keda": {"metadata": {"query": "up"}}}}, "invalid propertyName 'query'"),
    ("number as a field", {"autoscaling": {"keda": {"metadata": {"timeout": 3}}}}, "got number, want string"),
    ("scheme", {"podMonitor": {"scheme": "ftp"}}, "/podMonitor/scheme"),
    ("setting of the transformer", {"transformer": {"settings": {"workers": 2}}}, "'workers' not allowed"),
]

IGNORED: list[tuple[str, str, dict[str, Any], str]] = [
    (
        "concurrency in Standard mode",
        "default",
        {"autoscaling": {"concurrency": {"enabled": True}}},
        "at '/autoscaling/concurrency/enabled': value must be 'false: KServe ignores it in Standard mode",
    ),
    (
        "canary without a route",
        "canary",
        {"route": {"enabled": False, "grpc": {"enabled": False}}},
        "at '/canary/enabled': value must be 'false, or route.enabled true: KServe ignores canaryTrafficPercent",
    ),
    (
        "KEDA in Knative mode",
        "knative",
        {"autoscaling": {"keda": {"enabled": True}, "concurrency": {"enabled": False}}},
        "at '/autoscaling/keda/enabled': value must be 'false: in Knative mode the revision scales itself",
    ),
    (
        "HPA in Knative mode",
        "knative",
        {"autoscaling": {"hpa": {"enabled": True}, "concurrency": {"enabled": False}}},
        "at '/autoscaling/hpa/enabled': value must be 'false: KServe ignores it in Knative mode",
    ),
    (
        "route in Knative mode",
        "knative",
        {"route": ROUTE},
        "at '/route/enabled': value must be 'false: in Knative mode its own gateway divides the traffic",
    ),
    (
        "batcher",
        "default",
        {"batcher": {"maxBatchSize": 8}},
        "at '/batcher': value must be 'nothing: the batcher of KServe joins v1 requests of different callers",
    ),
    (
        "canary of halves",
        "knative",
        {"transformer": {"mode": "standalone"}},
        "at '/canary/enabled': value must be 'false, or transformer.mode collocated",
    ),
]
"""KServe would silently ignore these values; the schema refuses them, so helm lint and editors do too."""

RULES: list[tuple[str, str, dict[str, Any], str]] = [
    ("no bundle", "default", {"storage": {"uri": ""}}, "storage.uri is empty: set it to"),
    ("two bundles", "pvc", {"storage": {"uri": "s3://a/b"}}, "both set: keep one"),
    (
        "secrets that nobody has",
        "keda",
        {"autoscaling": {"keda": {"authenticationRef": {"name": ""}}}},
        "authModes is tls, basic, and autoscaling.keda.authenticationRef.name is empty: name the TriggerAuthentication",
    ),
    (
        "two families of one stack",
        "standalone",
        {"triton": {"service": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4", "IPv6"]}}},
        "SingleStack takes one: remove one, or set triton.service.ipFamilyPolicy PreferDualStack",
    ),
    ("no image", "default", {"transformer": {"image": {"repository": ""}}}, "build one with `make images`"),
    ("no account", "default", {"serviceAccount": {"enabled": False}}, "name the service account"),
    (
        "secret on a foreign account",
        "s3",
        {"serviceAccount": {"enabled": False, "name": "mine"}},
        "attach the Secret to your own service account",
    ),
    (
        "unused placement",
        "default",
        {"transformer": {"pod": {"nodeSelector": {"a": "b"}}}},
        "use pod, which places",
    ),
    ("unused cache", "pvc", {"device": "cpu"}, "would not be used with engineCache.enabled true and device cpu"),
    ("cache that is off", "pvc", {"engineCache": {"enabled": False}}, "engineCache.enabled false"),
    ("unserved plans", "tensorrt-job", {"device": "gpu"}, "set device tensorrt"),
    ("plans without a place", "tensorrt-job", {"planBuilder": {"existingClaim": ""}}, "name the claim"),
    ("plans from an image", "tensorrt-job", {"storage": {"uri": "oci://a/b:1"}}, "cannot download from oci://"),
    ("plans with a key file", "tensorrt-job", {"storage": {"uri": "gs://a/b"}}, "use workload identity"),
    (
        "two autoscalers",
        "keda",
        {"autoscaling": {"hpa": {"enabled": True}}},
        "would fight over the replicas; keep one",
    ),
    (
        "fewest over most",
        "keda",
        {"autoscaling": {"minReplicas": 9}},
        "minReplicas 9 is over autoscaling.maxReplicas 8",
    ),
    ("sleep without waking", "keda", {"autoscaling": {"minReplicas": 0}}, "nothing would wake the service"),
    ("sleep without an autoscaler", "default", {"autoscaling": {"minReplicas": 0}}, "nothing would wake the service"),
    (
        "sleep without concurrency",
        "knative",
        {"autoscaling": {"concurrency": {"enabled": False}}},
        "or use Knative mode with autoscaling.concurrency.enabled",
    ),
    ("KEDA without metrics", "keda", {"podMonitor": {"enabled": False}}, "set podMonitor.enabled"),
    (
        "KEDA without a trigger",
        "keda",
        {"autoscaling": {"keda": {"inFlightPerReplica": 0, "pendingPerReplica": 0}}},
        "needs a trigger",
    ),
    (
        "KEDA without a trigger for one Deployment",
        "everything",
        {"autoscaling": {"keda": {"inFlightPerReplica": 0}}},
        "both if the transformer is standalone",
    ),
    (
        "policy in Knative mode",
        "knative",
        {"networkPolicy": {"enabled": True}},
        "cut off Knative's activator and queue proxies; set networkPolicy.enabled false",
    ),
    (
        "no peers of the policy",
        "default",
        {"networkPolicy": {"clients": [], "monitoring": []}},
        "networkPolicy.clients is empty: list the peers that may call the service, such as [{namespaceSelector: "
        "{matchLabels: {kubernetes.io/metadata.name: gateways}}}], or set networkPolicy.openToAll true",
    ),
    (
        "half a policy, without monitoring",
        "default",
        {"networkPolicy": {"monitoring": []}},
        "networkPolicy.monitoring is empty: list the peers that may read metrics",
    ),
    ("half a policy, without clients", "default", {"networkPolicy": {"clients": []}}, "networkPolicy.clients is empty"),
    (
        "policy that is open to all with a list",
        "default",
        {"networkPolicy": {"openToAll": True, "clients": []}},
        "networkPolicy.openToAll would let everyone in",
    ),
    (
        "canary without a secret header",
        "canary",
        {"canary": {"headerValue": ""}},
        "canary.headerValue is empty: set it to a text that only testers know, such as openssl rand -hex 16 prints",
    ),
    ("digest that is not looked at", "default", {"storage": {"digest": "4" * 64}, **UNVERIFIED}, "set it to required"),
    ("key that is not looked at", "default", {"storage": {"publicKey": KEY}, **UNVERIFIED}, "set it to required"),
    (
        "canary that is not pinned",
        "canary",
        {"storage": {"digest": "4" * 64}},
        "canary.storageDigest is empty, and storage.digest says that bundles are pinned",
    ),
    (
        "digest of no bundle",
        "canary",
        {"canary": {"storageUri": "", "storageDigest": "4" * 64}},
        "canary.storageDigest is the digest of the bundle at canary.storageUri, which is empty",
    ),
    (
        "gateway less patient than the service",
        "default",
        {"requestTimeoutSeconds": 60},
        "requestTimeoutSeconds 60 is not over transformer.settings.requestTimeoutSeconds 110: the gateway would end",
    ),
    ("logger to nowhere", "default", {"logger": {"enabled": True}}, "logger.url is empty: set it to the address"),
    (
        "logger of gRPC alone",
        "knative-grpc",
        {"logger": {"enabled": True, "url": "http://logs"}},
        "the agent speaks HTTP/1 only: set knative.protocol rest",
    ),
    ("route to nowhere", "default", {"route": {"enabled": True}}, "name the gateway to attach to"),
    ("two routes", "default", {"route": ROUTE, "kserveIngress": {"enabled": True}}, "keep one"),
    (
        "one host name for REST and gRPC",
        "canary",
        {"route": {"grpc": {"hostnames": ["grpc.example.com", "count.example.com"]}}},
        "a gateway accepts a host name for either REST or gRPC",
    ),
    ("every host name for REST and gRPC", "canary", {"route": {"hostnames": []}}, "give each its own"),
    ("gRPC without REST", "default", {"route": {"grpc": {"enabled": True}}}, "needs route.enabled"),
]


@pytest.mark.parametrize(("values", "message"), [case[1:] for case in SCHEMA], ids=[case[0] for case in SCHEMA])
def test_schema_error_names_value_and_allowed_range(chart: Chart, values: dict[str, Any], message: str) -> None:
    said = chart.refusal(**values)
    assert "values don't meet the specifications of the schema" in said
    assert message in said


@pytest.mark.parametrize(
    ("base", "values", "message"), [case[1:] for case in IGNORED], ids=[case[0] for case in IGNORED]
)
def test_lint_refuses_values_that_kserve_would_ignore(
    chart: Chart, base: str, values: dict[str, Any], message: str
) -> None:
    assert message in chart.refusal(base, **values)
    done = chart.run("lint", ".", "--values", f"ci/{base}-values.yaml", "--values", "-", text=json.dumps(values))
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("values", "valid"),
    [
        ({}, True),
        ({"canary": {"enabled": True}}, False),
        ({"canary": {"enabled": True}, "route": {"enabled": True}}, True),
        ({"canary": {"enabled": True}, "deploymentMode": "Knative"}, True),
        ({"canary": {"enabled": True}, "deploymentMode": "Knative", "transformer": {"mode": "standalone"}}, False),
        ({"autoscaling": {"concurrency": {"enabled": True}}}, False),
    ],
)
def test_schema_alone_refuses_them_without_the_defaults(values: dict[str, Any], valid: bool) -> None:
    schema = jsonschema.Draft202012Validator(json.loads((CHART / "values.schema.json").read_text()))
    assert schema.is_valid(values) == valid


@pytest.mark.parametrize(("base", "values", "message"), [case[1:] for case in RULES], ids=[case[0] for case in RULES])
def test_rule_error_suggests_a_remedy(chart: Chart, base: str, values: dict[str, Any], message: str) -> None:
    assert message in chart.refusal(base, **values)
