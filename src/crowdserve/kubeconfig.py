"""Which cluster a command talks to: that of the kubeconfig, or else the one that it runs in."""

from typing import Any

from crowdserve.errors import SetupError

_NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


def custom_objects(context: str | None = None) -> tuple[Any, str]:
    """The API server, and the namespace that a command without one is about.

    Args:
        context: Context of the kubeconfig; the current one if None.

    Returns:
        `CustomObjectsApi` of the kubernetes client, whose paths serve every group, without retries of its own; and the
        namespace of the context, or of the pod.

    Raises:
        SetupError: If there is no cluster.
    """
    import kubernetes

    client, config = _untyped(kubernetes.client), _untyped(kubernetes.config)
    configuration = client.Configuration()
    try:
        config.load_kube_config(context=context, client_configuration=configuration)
        contexts, active = config.list_kube_config_contexts()
        chosen = next((each for each in contexts if each["name"] == context), active)
        namespace = chosen["context"].get("namespace", "default")
    except config.ConfigException as err:
        try:
            if context:
                raise
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            raise SetupError(f"no cluster to talk to ({err}); set KUBECONFIG or give --context") from err
        with open(_NAMESPACE_FILE) as file:
            namespace = file.read().strip()
    configuration.retries = 0  # retries are counted by who calls, not in the HTTP library too
    return client.CustomObjectsApi(client.ApiClient(configuration)), namespace


def _untyped(module: Any) -> Any:
    """A module whose functions have no annotations."""
    return module
