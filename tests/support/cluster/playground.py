"""A cluster to try rollouts on: the tests' stand-ins for the API server, the gateway and Prometheus, on this machine.

    python -m tests.support.cluster.playground rollout-playground
    python -m tests.support.cluster.playground rollout-playground --failing 40

Writes a kubeconfig and a golden set into the folder, and `environment`, which a shell reads with `source`. The release
is called crowd; its canary counts a little better than stable. With `--failing` so many of the canary's 400 requests
per step end in an error. Ctrl-C ends it.
"""

import argparse
import threading
from contextlib import suppress
from pathlib import Path

import yaml

from tests.support.cluster.api_server import ApiServer
from tests.support.cluster.cluster_objects import controller, standard_release
from tests.support.cluster.gateway import Gateway
from tests.support.cluster.prometheus_server import PrometheusServer
from tests.support.cluster.world import PODS, World, kubeconfig, write_golden


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--failing", type=int, default=0, help="of the canary's 400 requests per step (%(default)s)")
    flags = parser.parse_args()
    flags.folder.mkdir(parents=True)
    with ApiServer() as api, PrometheusServer() as prometheus:
        standard_release(api)
        api.on_change.append(controller(api))
        with Gateway(
            lambda: api.read("httproutes", "crowd"),
            lambda service: prometheus.observe(PODS.get(service, service), 1),
        ) as gateway:
            gateway.pods = dict(PODS)
            gateway.error = {"crowd-predictor": 2.0, "crowd-canary-predictor": 1.5}
            golden = write_golden(flags.folder / "golden", gateway)
            world = World(api, prometheus, gateway, golden, errors={"crowd-canary-predictor": flags.failing})
            api.on_change.append(world.serve_traffic)
            config = flags.folder / "kubeconfig"
            config.write_text(yaml.safe_dump(kubeconfig(api.url)))
            variables = {
                "KUBECONFIG": config.resolve(),
                "CROWDSERVE_URL": gateway.url,
                "CROWDSERVE_PROMETHEUS": prometheus.url,
            }
            lines = [f"export {name}={value}\n" for name, value in variables.items()]
            (flags.folder / "environment").write_text("".join(lines))
            print(f"serving; in another terminal: source {flags.folder}/environment", flush=True)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()


if __name__ == "__main__":
    main()
