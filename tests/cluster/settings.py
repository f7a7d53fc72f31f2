"""What the tests are told about the cluster, by environment variables CROWDSERVE_CLUSTER_<NAME>.

`make cluster` writes them to `.cluster.env`. What a cluster cannot do has no variable, and its tests are skipped.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import pytest

PREFIX = "CROWDSERVE_CLUSTER_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """The cluster and its parts.

    Attributes:
        transformer_image: ``repository:tag`` of the transformer, as nodes have it.
        watcher_image: ``repository:tag`` of the watcher and the console.
        triton_image: ``repository:tag`` of a Triton with the python backend and OpenVINO, for the embedded profile.
        s3_endpoint: URL of an S3 store, as pods reach it.
        s3_upload: URL of the same store, as the tests reach it.
        s3_key: Access key of the store.
        s3_secret: Secret key of the store.
        s3_bucket: Bucket that the tests write to.
        gateway: ``namespace/name`` of a Gateway that takes routes of every namespace.
        gateway_address: ``host:port`` at which the tests reach it; rollouts ask there by ``host``, so it has that name.
        host: Host name of REST at the gateway, which the tests can resolve.
        grpc_host: Host name of gRPC at the gateway, which nothing has to resolve.
        prometheus: URL of Prometheus, as the tests reach it.
        prometheus_in_cluster: URL of Prometheus, as KEDA reaches it.
        oci_registry: ``host:port`` of a plain HTTP registry, for the tests and the nodes; empty: none.
        oci_base: Image with a shell that an image of models is built on.
        host_path: A folder that the tests share with the only node, for claims; empty: the default storage class.
        postgres: SQLAlchemy's URL of a PostgreSQL for histories, as pods reach it; empty: none.
        helm3: Path of a Helm 3; empty: none.
        stop_api: Command that stops the API server; likewise the other commands.
        start_api: Command that starts it again.
        stop_store: Command that stops the S3 store.
        start_store: Command that starts it again, with its content.
        stop_controller: Command that stops KServe's controller.
        start_controller: Command that starts it again.
        stop_prometheus: Command that stops Prometheus.
        start_prometheus: Command that starts it again.
        kill: Command that kills one process of a name on the node by SIGKILL; ``{name}`` stands for the name.
        kill_containers: Command that kills every container of the node.
    """

    transformer_image: str = "crowdserve-transformer:0.2.0"
    watcher_image: str = "crowdserve-watcher:0.2.0"
    triton_image: str = "crowdserve-triton-cpu:0.2.0"
    s3_endpoint: str = "http://s3.store.svc:9000"
    s3_upload: str = "http://127.0.0.1:9000"
    s3_key: str = "crowdserve"
    s3_secret: str = "crowdserve"
    s3_bucket: str = "models"
    gateway: str = "gateways/public"
    gateway_address: str = "localhost:8080"
    host: str = "localhost"
    grpc_host: str = "grpc.example.com"
    prometheus: str = "http://127.0.0.1:9090"
    prometheus_in_cluster: str = "http://prometheus-operated.monitoring.svc:9090"
    oci_registry: str = ""
    oci_base: str = "docker.io/library/busybox:1.37.0"
    host_path: str = ""
    postgres: str = ""
    helm3: str = ""
    stop_api: str = ""
    start_api: str = ""
    stop_store: str = ""
    start_store: str = ""
    stop_controller: str = ""
    start_controller: str = ""
    stop_prometheus: str = ""
    start_prometheus: str = ""
    kill: str = ""
    kill_containers: str = ""

    @contextmanager
    def stopped(self, part: str) -> Iterator[None]:
        """Stop a part of the cluster (api, store, controller, prometheus) while the block runs; skip without a way."""
        stop, start = getattr(self, f"stop_{part}"), getattr(self, f"start_{part}")
        if not (stop and start):
            pytest.skip(
                f"nothing can stop the {part}: set {PREFIX}STOP_{part.upper()} and {PREFIX}START_{part.upper()}"
            )
        shell(stop)
        try:
            yield
        finally:
            shell(start)

    def kill_one(self, name: str) -> None:
        """Kill one process of a name on the node by SIGKILL; skip without a way."""
        if not self.kill:
            pytest.skip(f"nothing can kill a process of the node: set {PREFIX}KILL")
        shell(self.kill.replace("{name}", name))


def read_settings() -> ClusterSettings:
    """The settings of this environment; a variable that is unknown is an error."""
    known = {field.name for field in fields(ClusterSettings)}
    found = {key.removeprefix(PREFIX).lower(): value for key, value in os.environ.items() if key.startswith(PREFIX)}
    unknown = sorted(set(found) - known - {"test"})
    assert not unknown, f"unknown variables: {', '.join(PREFIX + name.upper() for name in unknown)}"
    return ClusterSettings(**{name: value for name, value in found.items() if name in known})


def shell(command: str) -> None:
    """Run a command of the environment; its output is shown when it fails."""
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
