"""The pods that serve: Triton, the transformer, how they find each other, how they start and stop."""

import json
import socket
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields

import pytest

import crowdserve
from crowdserve.cards import CARDS, ENSEMBLES
from crowdserve.triton.config import ENGINE_CACHE
from crowdserve_transformer.readiness.repository import LATE_SECONDS
from crowdserve_transformer.settings import Settings, environment_variable, read_settings
from crowdserve_transformer.transport.rpc.health import LIVENESS
from tests.support.rendering import CI, Chart, Object

KSERVE_FLAGS = ["--model_name", "rel", "--predictor_host", "rel-predictor.ns", "--http_port", "8080"]
SET_BY_THE_CHART = {
    "model_name", "http_port", "grpc_port", "predictor_host", "predictor_protocol", "predictor_use_ssl",
    "repository", "workers", "bundle_digest", "bundle_public_key", "metrics_port", "model_aliases",
    "triton_memory_socket",
    "console", "console_hosts",  # which the pods that answer callers do not have
}  # fmt: skip


def environment(container: Object) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


def added_environment(triton: Object) -> dict[str, str]:
    """Triton's variables but that of the InferenceService, which test_bundle.py has."""
    return {name: value for name, value in environment(triton).items() if name != "CROWDSERVE_BUNDLE_DIGEST"}


def flags(container: Object) -> list[str]:
    return container["args"][container["args"].index("tritonserver") + 1 :]


@pytest.mark.parametrize("base", CI)
def test_transformer_accepts_its_flags_and_environment(chart: Chart, base: str) -> None:
    container = chart.render(base).transformer("counting" if base == "everything" else "rel")
    standalone = container["name"] == "kserve-container"
    missing = standalone and "--predictor_host" not in container["args"]
    added = [flag for flag in KSERVE_FLAGS[2:4] if missing]  # KServe adds what is not there
    settings = read_settings(container["args"] + added, environment(container))
    assert settings.model_name == "crowdserve"
    assert (settings.http_port, settings.grpc_port) == (8080, 8081)
    in_pods = {"everything": "counting-triton:8085", "standalone": "rel-triton:8085"}
    assert settings.host == "::"
    elsewhere = in_pods.get(base, "rel-predictor.ns:80")
    assert settings.predictor_host == (elsewhere if standalone else "127.0.0.1:8085")
    assert settings.repository.as_posix() == "/mnt/models"
    assert (settings.max_body_bytes, settings.max_pixels, settings.max_whole_pixels) == (
        64 * 2**20,
        220_000_000,
        64_000_000,
    )


def test_every_setting_of_the_transformer_is_a_value(chart: Chart) -> None:
    chosen = environment(chart.render().transformer())
    operators = {field.name for field in fields(Settings)} - SET_BY_THE_CHART
    assert {environment_variable(name) for name in operators} <= chosen.keys()


def test_settings_reach_the_transformer_unchanged(chart: Chart) -> None:
    values = {"route": "blend", "tritonTimeoutSeconds": 2.5, "maxPixels": 12_345_678, "logLevel": "DEBUG"}
    container = chart.render(transformer={"settings": values, "modelName": "people"}).transformer()
    settings = read_settings(container["args"], environment(container))
    assert (settings.route, settings.triton_timeout_seconds) == ("blend", 2.5)
    assert (settings.max_pixels, settings.log_level, settings.model_name) == (12_345_678, "DEBUG", "people")


def test_collocated_transformer_shares_the_pod_of_triton(chart: Chart) -> None:
    service = chart.render().one("InferenceService")["spec"]
    assert service.keys() == {"predictor"}
    assert [container["name"] for container in service["predictor"]["containers"]] == ["transformer-container"]
    assert "STORAGE_URI" not in environment(chart.render().transformer())  # KServe refuses it in this place


def test_standalone_transformer_has_its_own_pods_and_download(chart: Chart) -> None:
    service = chart.render("standalone").one("InferenceService")["spec"]
    assert "containers" not in service["predictor"]
    (container,) = service["transformer"]["containers"]
    assert container["name"] == "kserve-container"
    assert environment(container)["STORAGE_URI"] == service["predictor"]["model"]["storageUri"]
    assert environment(container)["PROTOCOL"] == service["predictor"]["model"]["protocolVersion"] == "v2"
    assert "containerConcurrency" not in service["transformer"]
    assert service["transformer"]["nodeSelector"] == {"pool": "general"}
    assert service["predictor"]["nodeSelector"] == {"pool": "gpu"}


def test_service_offers_rest_first_and_then_grpc(chart: Chart) -> None:
    """KServe's Service maps its port 80 to the first port, and a port called grpc gets HTTP/2."""
    ports = [(port["name"], port["containerPort"]) for port in chart.render().transformer()["ports"]]
    assert ports == [("http", 8080), ("grpc", 8081), ("metrics", 8082)]
    assert environment(chart.render().transformer())["CROWDSERVE_METRICS_PORT"] == "8082"
    assert [port["containerPort"] for port in chart.render().triton()["ports"]] == [8002]
    assert [port["containerPort"] for port in chart.render("standalone").triton()["ports"]] == [8085, 8002]


@pytest.mark.parametrize(("protocol", "port"), [("rest", ("http1", 8080)), ("grpc", ("h2c", 8081))])
def test_revision_names_exactly_one_port(chart: Chart, protocol: str, port: tuple[str, int]) -> None:
    manifests = chart.render("knative", knative={"protocol": protocol})
    (_, pod), *_ = manifests.pod_specs()
    assert [(p["name"], p["containerPort"]) for c in pod["containers"] for p in c.get("ports", [])] == [port]


def test_revision_has_no_field_that_knative_refuses(chart: Chart) -> None:
    for base in ("knative", "knative-grpc"):
        manifests = chart.render(base)
        for name, pod in manifests.pod_specs():
            if "-test-" in name:
                continue
            refused = {"terminationGracePeriodSeconds", "automountServiceAccountToken", "securityContext"}
            assert not refused & pod.keys()
            for container in pod["containers"]:
                assert not {"lifecycle", "startupProbe"} & container.keys()
                assert container.get("ports") or not {"readinessProbe", "livenessProbe"} & container.keys()
        annotations = manifests.one("InferenceService")["metadata"]["annotations"]
        assert annotations["serving.knative.dev/progress-deadline"] == "1800s"


@pytest.mark.parametrize(
    ("protocol", "check"),
    [
        ("rest", {"httpGet": {"path": "/v2/health/live", "port": 8080}}),
        ("grpc", {"grpc": {"port": 8081, "service": LIVENESS}}),
    ],
)
@pytest.mark.parametrize("base", ["knative", "knative-grpc"])
def test_revision_liveness_probe_starts_after_the_bundle_check(
    chart: Chart, base: str, protocol: str, check: Object
) -> None:
    """Knative replaces any other port by this one, and HTTP/1 and gRPC probes are not interchangeable."""
    probe = chart.render(base, knative={"protocol": protocol}).transformer()["livenessProbe"]
    assert check.items() <= probe.items()
    assert len({"httpGet", "tcpSocket", "grpc"} & probe.keys()) == 1
    assert probe["initialDelaySeconds"] + probe["periodSeconds"] * probe["failureThreshold"] >= LATE_SECONDS + 30


@pytest.mark.parametrize("base", ["knative", "knative-grpc"])
@pytest.mark.parametrize(
    ("protocol", "check"),
    [
        ("rest", {"httpGet": {"path": "/v2/health/ready", "port": 8080}}),
        ("grpc", {"grpc": {"port": 8081, "service": ""}}),
    ],
)
def test_revision_readiness_probe_asks_the_one_port(chart: Chart, base: str, protocol: str, check: Object) -> None:
    probe = chart.render(base, knative={"protocol": protocol}).transformer()["readinessProbe"]
    assert check.items() <= probe.items()
    assert len({"httpGet", "tcpSocket", "grpc"} & probe.keys()) == 1


def test_triton_is_pinned_and_probed_with_a_startup_delay(chart: Chart) -> None:
    triton = chart.render(triton={"startupSeconds": 601}).triton()
    assert triton["image"] == "nvcr.io/nvidia/tritonserver:26.05-py3"
    assert "command" not in triton  # the image's entrypoint sets CUDA up
    startup = triton["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 605
    for name, path in (("startupProbe", "ready"), ("readinessProbe", "ready"), ("livenessProbe", "live")):
        assert triton[name]["exec"]["command"][2].startswith(f"path=/v2/health/{path}\n")
        standalone = chart.render("standalone").triton()
        assert standalone[name]["httpGet"] == {"path": f"/v2/health/{path}", "port": 8085}


@pytest.mark.parametrize("base", ["default", "standalone"])
def test_transformer_is_not_killed_while_it_waits_for_its_bundle(chart: Chart, base: str) -> None:
    startup = chart.render(base).transformer()["startupProbe"]
    assert startup["httpGet"] == {"path": "/v2/health/live", "port": 8080}
    assert startup["periodSeconds"] * startup["failureThreshold"] >= LATE_SECONDS + 30  # and compares it


@pytest.mark.parametrize("base", CI)
def test_runtime_commands_contain_no_kserve_placeholder(chart: Chart, base: str) -> None:
    """KServe expands a runtime's containers as templates."""
    assert "{{" not in "".join(chart.render(base).triton("counting" if base == "everything" else "rel")["args"])


def test_triton_is_hardened(chart: Chart) -> None:
    given = flags(chart.render().triton())
    for flag in (
        "--model-control-mode=explicit", "--disable-auto-complete-config", "--strict-readiness=true",
        "--exit-on-error=true", "--backend-directory=/tmp/backends",
        "--http-restricted-api=model-repository,shared-memory,trace,logging:nobody=\n\n",
    ):  # fmt: skip
        assert flag in given
    loaded = [flag.removeprefix("--load-model=") for flag in given if flag.startswith("--load-model=")]
    assert loaded == [*CARDS, *(ensemble.name for ensemble in ENSEMBLES.values())]
    assert "--exit-timeout-secs=15" in given


@pytest.mark.parametrize("base", CI)
def test_collocated_triton_listens_on_the_loopback_address_but_for_its_metrics(chart: Chart, base: str) -> None:
    """Through its port any pod could go around the limits of the transformer."""
    manifests = chart.render(base)
    name = "counting" if base == "everything" else "rel"
    given = flags(manifests.triton(name))
    collocated = manifests.transformer(name)["name"] == "transformer-container"
    started = manifests.triton(name)["args"][2].rpartition("exec ")[2].strip()
    http = "127.0.0.1" if collocated else '"$listen"'
    grpc = ' "$grpc"' if collocated else ""  # test_shared_memory.py has it
    assert (
        started == f'"$program" --http-address={http} --metrics-address="$listen"{grpc} "$@"'
    )  # test_address.py runs it
    assert ("--allow-grpc=false" in given) is not collocated
    assert not any(flag.startswith(("--http-address", "--metrics-address", "--grpc-address")) for flag in given)


def test_standalone_transformer_finds_every_triton_that_is_ready(chart: Chart) -> None:
    """KServe's own Service has one address, behind which a kept connection stays with one Triton."""
    manifests = chart.render("everything")
    for track, name in (("stable", "counting"), ("canary", "counting-canary")):
        service = manifests.one("Service", f"{name}-triton")["spec"]
        assert service["clusterIP"] == "None"
        assert "publishNotReadyAddresses" not in service
        assert [(port["port"], port["targetPort"]) for port in service["ports"]] == [(8085, 8085)]
        assert service["selector"]["crowdserve.io/track"] == track
        assert service["selector"]["component"] == "predictor"
        assert f"{name}-triton:8085" in manifests.transformer(name)["args"]
    assert not chart.render().all("Service")
    knative = chart.render("knative", canary={"enabled": False}, transformer={"mode": "standalone"})
    assert not knative.all("Service")
    assert "--predictor_host" not in knative.transformer()["args"]


def test_triton_stops_after_the_transformer_within_the_grace_period(chart: Chart) -> None:
    settings = {"drainSeconds": 7.5, "graceSeconds": 20}
    longest = 28
    for base in ("default", "standalone"):
        manifests = chart.render(base, transformer={"settings": settings}, triton={"exitTimeoutSeconds": 9})
        grace = manifests.one("InferenceService")["spec"]["predictor"]["terminationGracePeriodSeconds"]
        assert grace == longest + 9 + 5
        hook = manifests.triton()["lifecycle"]["preStop"]
        if base == "standalone":
            assert hook == {"sleep": {"seconds": 8}}  # it only has to leave the Service
        else:
            assert f"seconds={longest}\n" in hook["exec"]["command"][2]


def test_zero_wait_renders_no_sleep_in_triton(chart: Chart) -> None:
    """Kubernetes before 1.33 refuses one."""
    at_once = {"settings": {"drainSeconds": 0, "graceSeconds": 0}}
    assert "lifecycle" not in chart.render("standalone", transformer=at_once).triton()
    assert "seconds=0\n" in chart.render(transformer=at_once).triton()["lifecycle"]["preStop"]["exec"]["command"][2]


@pytest.fixture
def stop_hook(chart: Chart) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket, socket.socket]]:
    """Triton's stop hook beside a transformer's socket that listens and one that is connected."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), listener.accept()[0] as connected:
            command = chart.render().triton()["lifecycle"]["preStop"]["exec"]["command"]
            script = command[2].replace("1F9[01]", f"{port:04X}").replace("sleep 1", "sleep 0.05")
            hook = subprocess.Popen([*command[:2], script])
            yield hook, listener, connected
            hook.kill()
            hook.wait()


def test_triton_outlives_the_transformer_and_no_longer(
    stop_hook: tuple[subprocess.Popen[bytes], socket.socket, socket.socket],
) -> None:
    """It keeps a GPU: it goes as soon as the transformer neither listens nor answers a request."""
    hook, listener, connected = stop_hook
    for open_socket in (listener, connected):
        with pytest.raises(subprocess.TimeoutExpired):
            hook.wait(0.4)
        open_socket.close()
    assert hook.wait(10) == 0


def test_python_backend_gets_the_threads_of_device_cpu(chart: Chart) -> None:
    """The onnxruntime backend has flags for it; a bundle of the embedded profile reads a variable."""
    name = "CROWDSERVE_TRITON_THREADS"
    assert environment(chart.render("cpu").triton())[name] == "4"
    chosen = chart.render("cpu", triton={"cpuThreads": 3, "env": [{"name": "A", "value": "b"}]}).triton()
    assert added_environment(chosen) == {name: "3", "A": "b"}
    own = chart.render("cpu", triton={"env": [{"name": name, "value": "1"}]}).triton()
    assert [each["value"] for each in own["env"] if each["name"] == name] == ["1"]
    assert not added_environment(chart.render().triton())


def test_shared_memory_is_a_separate_volume(chart: Chart) -> None:
    manifests = chart.render(triton={"shmSize": "1Gi"})
    mounts = {mount["mountPath"]: mount["name"] for mount in manifests.triton()["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in manifests.one("ServingRuntime")["spec"]["volumes"]}
    assert volumes[mounts["/dev/shm"]]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "amd.com/gpu"])
def test_gpu_resource_name_comes_from_a_value(chart: Chart, resource: str) -> None:
    manifests = chart.render(gpu={"resource": resource, "count": 2})
    limits = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "8Gi", resource: "2"}
    assert manifests.triton()["resources"]["limits"] == limits
    assert resource not in json.dumps(manifests.transformer()["resources"])


def test_omitted_resources_still_request_the_gpu(chart: Chart) -> None:
    nothing = {"resources": None}
    assert chart.render(triton=nothing).triton()["resources"] == {"limits": {"nvidia.com/gpu": "1"}}
    assert chart.render("cpu", triton=nothing).triton()["resources"] == {}


def test_device_cpu_needs_no_gpu_anywhere(chart: Chart) -> None:
    manifests = chart.render("cpu")
    assert "gpu" not in json.dumps(manifests.triton()["resources"])
    given = flags(manifests.triton())
    assert "--backend-config=onnxruntime,enable-global-threadpool=1" in given
    assert "engines" not in json.dumps(manifests.one("ServingRuntime"))


@pytest.mark.parametrize(
    ("limit", "chosen", "threads"), [("4", 0, 4), ("2500m", 0, 3), (1.5, 0, 2), ("8", 6, 6), ("100m", 0, 1)]
)
def test_onnxruntime_threads_follow_the_cpu_limit(chart: Chart, limit: str | float, chosen: int, threads: int) -> None:
    triton = {"cpuThreads": chosen, "resources": {"limits": {"cpu": limit}}}
    given = flags(chart.render("cpu", triton=triton).triton())
    assert f"--backend-config=onnxruntime,intra_op_thread_count={threads}" in given


def test_tensorrt_engine_folder_matches_the_model_configs(chart: Chart) -> None:
    """test_start.py runs the shell that fills these folders."""
    own = {ENGINE_CACHE: {"emptyDir": {"sizeLimit": "4Gi"}}}
    claim = {"/engines": {"persistentVolumeClaim": {"claimName": "engines"}}}
    for base, name, expected in (
        ("default", "rel", own),
        ("pvc", "rel", own | claim),
        ("everything", "counting", own | claim),
        ("everything", "counting-canary", own | claim),  # the same: folders in it are named after weights
    ):
        manifests = chart.render(base)
        volumes = {
            volume.pop("name"): volume for volume in deepcopy(manifests.one("ServingRuntime", name)["spec"]["volumes"])
        }
        mounts = {mount["mountPath"]: mount for mount in manifests.triton(name)["volumeMounts"]}
        assert {path: volumes[mounts[path]["name"]] for path in mounts if "engines" in path} == expected
        assert not any("subPath" in mount for mount in mounts.values())
    assert "engines" not in json.dumps(chart.render(engineCache={"enabled": False}).triton())


def test_placement_values_reach_the_pods(chart: Chart) -> None:
    predictor = chart.render("everything").one("InferenceService", "counting")["spec"]["predictor"]
    assert predictor["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert predictor["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert predictor["affinity"].keys() == {"nodeAffinity"}
    assert predictor["topologySpreadConstraints"][0]["maxSkew"] == 1
    assert (predictor["runtimeClassName"], predictor["priorityClassName"]) == ("nvidia", "production")
    assert (predictor["labels"], predictor["annotations"]) == ({"team": "vision"}, {"sidecar.istio.io/inject": "false"})
    assert predictor["imagePullSecrets"] == [{"name": "registry"}]
    assert predictor["timeout"] == 120


def test_environment_and_flags_can_be_added(chart: Chart) -> None:
    manifests = chart.render("everything")
    assert added_environment(manifests.triton("counting")) == {"NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
    assert flags(manifests.triton("counting"))[-1] == "--log-verbose=1"
    assert environment(manifests.transformer("counting"))["OMP_NUM_THREADS"] == "1"


def test_digest_wins_over_a_tag(chart: Chart) -> None:
    manifests = chart.render("s3")
    assert manifests.triton()["image"] == f"nvcr.io/nvidia/tritonserver@sha256:{'0' * 64}"
    assert manifests.transformer()["image"] == f"registry.example/crowdserve-transformer@sha256:{'1' * 64}"
    assert chart.render().transformer()["image"].endswith(f"crowdserve-transformer:{crowdserve.__version__}")


def test_extra_objects_are_templates(chart: Chart) -> None:
    assert chart.render("everything").one("ConfigMap", "rel-notes")["data"] == {"owner": "vision"}


@pytest.mark.parametrize(
    ("base", "component"), [("default", "predictor"), ("standalone", "transformer"), ("knative", "predictor")]
)
def test_the_logger_stands_before_the_component_that_callers_reach(chart: Chart, base: str, component: str) -> None:
    logger = {"url": "http://broker.logs.svc/events", "mode": "request", "metadataHeaders": ["x-request-id"]}
    manifests = chart.render(base, logger={"enabled": True, **logger})
    spec = manifests.one("InferenceService")["spec"]
    assert spec[component]["logger"] == logger
    assert [name for name, each in spec.items() if "logger" in each] == [component]
    for policy in manifests.all("NetworkPolicy"):
        for rule in policy["spec"]["ingress"][:2]:
            assert 9081 in {port["port"] for port in rule["ports"]}


def test_without_the_logger_the_port_of_its_agent_is_closed(chart: Chart) -> None:
    manifests = chart.render()
    assert "logger" not in manifests.one("InferenceService")["spec"]["predictor"]
    ports = [port["port"] for rule in manifests.one("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]]
    assert 9081 not in ports
