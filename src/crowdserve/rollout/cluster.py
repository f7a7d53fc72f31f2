"""Access to the API server, with time limits and retries, and with a dry run that changes nothing."""

import json
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from crowdserve.errors import SetupError
from crowdserve.kubeconfig import custom_objects
from crowdserve.rollout.errors import AccessDenied, AnswerLost, ClusterError, Outdated
from crowdserve.rollout.outage import FIRST_PAUSE_SECONDS, LEAST_PATIENCE_SECONDS, Outage
from crowdserve.rollout.resources import Kind, Object, Patch

FIELD_MANAGER = "crowdserve-rollout"
ANSWER_SECONDS = 20.0

_T = TypeVar("_T")
_LOST = frozenset({0, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed; 0 is the client's own for a broken TLS connection."""


def connect(
    namespace: str | None,
    *,
    context: str | None = None,
    dry_run: bool = False,
    patience_seconds: float = LEAST_PATIENCE_SECONDS,
    say: Callable[[str], None] = lambda _: None,
) -> "Cluster":
    """The cluster of the kubeconfig, or else the one that this process runs in.

    Args:
        namespace: Namespace of the release; the context's own if None.
        context: Context of the kubeconfig; the current one if None.
        dry_run: Whether patches are only checked.
        patience_seconds: Longest wait for a server that has stopped answering.
        say: Function that shows a line to the user.

    Raises:
        ClusterError: If there is no cluster.
    """
    try:
        api, default = custom_objects(context)
    except SetupError as err:
        raise ClusterError(str(err)) from err
    chosen_class = DryCluster if dry_run else Cluster
    return chosen_class(api, namespace or default, patience_seconds=patience_seconds, say=say)


class Cluster:
    """One namespace of a cluster.

    Args:
        api: `CustomObjectsApi` of the kubernetes client; its paths serve every group.
        namespace: Namespace of the release.
        answer_seconds: Time limit of a request.
        patience_seconds: Longest wait for a server that has stopped answering.
        say: Function that shows a line to the user.
    """

    dry_run = False

    def __init__(
        self,
        api: Any,
        namespace: str,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        patience_seconds: float = LEAST_PATIENCE_SECONDS,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.namespace = namespace
        self._api = api
        self._answer_seconds = answer_seconds
        self._reads, self._patches = (Outage(patience_seconds, say) for _ in range(2))
        self._granted: set[tuple[str, Kind]] = set()
        self._denied: dict[tuple[str, Kind], float] = {}

    def clock(self) -> float:
        """Seconds that pass only while the server answers: while it is away nothing in the cluster gets ready."""
        return time.monotonic() - self._reads.past_seconds

    def close(self) -> None:
        """Close the connections."""
        self._api.api_client.close()

    def list(self, kind: Kind, selector: str) -> list[Object]:
        """Objects of a kind by label; none if the cluster does not know the kind."""

        def call() -> Any:
            path = kind.group, kind.version, self.namespace, kind.plural
            options = {"label_selector": selector, "_request_timeout": self._answer_seconds}
            return self._api.list_namespaced_custom_object(*path, **options)

        found = self._read(call, "list", kind, f"list {kind.plural}")
        return [] if found is None else list(found["items"])

    def get(self, kind: Kind, name: str) -> Object | None:
        """One object; None if there is none."""

        def call() -> Any:
            path = kind.group, kind.version, self.namespace, kind.plural, name
            return self._api.get_namespaced_custom_object(*path, _request_timeout=self._answer_seconds)

        return self._read(call, "get", kind, f"get {kind.plural}/{name}")

    def patch(self, patch: Patch) -> None:
        """Apply a patch.

        Raises:
            Outdated: If the object has changed since it was read.
            AnswerLost: If it is unknown whether the patch was applied; raised after a pause.
            ClusterError: If the server refuses the patch for good, or has not answered for too long.
        """
        self._patch(patch, dry_run=None)

    def await_change(self, kind: Kind, found: Object, seconds: float) -> None:
        """Return when an object has changed since it was read, at a time limit, or early if the watch breaks."""
        limit = max(1, round(seconds))
        options = {
            "watch": True,
            "field_selector": f"metadata.name={found['metadata']['name']}",
            "resource_version": found["metadata"]["resourceVersion"],
            "timeout_seconds": limit,
            "_request_timeout": limit + self._answer_seconds,
            "_preload_content": False,
        }
        started = time.monotonic()
        try:
            woken = _answer_of(lambda: self._first_byte(kind, options))
        except (AnswerLost, Outdated, ClusterError):  # a watch only saves time: the caller reads again anyway
            woken = False
        if not woken:
            time.sleep(max(0.0, min(FIRST_PAUSE_SECONDS, seconds - (time.monotonic() - started))))

    def note_applied(self) -> None:
        """Note that the last patch has been applied, also if its answer was lost."""
        self._patches.end()

    def _first_byte(self, kind: Kind, options: dict[str, Any]) -> bool:
        """Whether a watch reported an event before it ended."""
        path = kind.group, kind.version, self.namespace, kind.plural
        response = self._api.list_namespaced_custom_object(*path, **options)
        try:
            return response.status == 200 and any(response.stream(1))
        finally:
            response.close()

    def _patch(self, patch: Patch, dry_run: str | None) -> Object:
        kind = patch.kind
        path = kind.group, kind.version, self.namespace, kind.plural, patch.name
        options: dict[str, Any] = {
            "field_manager": FIELD_MANAGER,
            "_content_type": "application/json-patch+json",
            "_request_timeout": self._answer_seconds,
            **({"dry_run": dry_run} if dry_run else {}),
        }
        asked = time.monotonic()
        try:
            result = self._ask(
                "patch", kind, lambda: self._api.patch_namespaced_custom_object(*path, patch.body, **options)
            )
        except AnswerLost as err:
            what = f"patch {kind.plural}/{patch.name} in {self.namespace}"
            self._patches.wait(what, err, asked=asked, has_answered=bool(self._granted))
            raise
        self._patches.end()
        if result is None:
            raise ClusterError(f"{kind.title} {patch.name} is gone from {self.namespace}; was the release removed?")
        return dict(result)

    def _read(self, call: Callable[[], _T], verb: str, kind: Kind, what: str) -> _T | None:
        while True:
            asked = time.monotonic()
            try:
                answer = self._ask(verb, kind, call)
            except AnswerLost as err:
                where = f"{what} in {self.namespace}"
                self._reads.wait(where, err, asked=asked, has_answered=bool(self._granted))
            else:
                self._reads.end()
                return answer

    def _ask(self, verb: str, kind: Kind, call: Callable[[], _T]) -> _T | None:
        """The server's answer; its refusal of a request that it granted before counts as no answer for a short time.

        A server that starts answers before it knows every token issuer and role: 401 and 403 for some seconds.
        """
        right = verb, kind
        try:
            answer = _answer_of(call)
        except AccessDenied as err:
            since = self._denied.setdefault(right, time.monotonic())
            may_pass = right in self._granted or self._reads.is_recent or self._patches.is_recent
            if not may_pass or time.monotonic() - since >= LEAST_PATIENCE_SECONDS:
                raise
            raise AnswerLost(str(err)) from err
        except Outdated:
            self._patches.end()
            raise
        except AnswerLost:
            self._denied.pop(right, None)
            raise
        self._granted.add(right)
        self._denied.pop(right, None)
        return answer


class DryCluster(Cluster):
    """A cluster whose patches are checked by the server and not stored; later reads see them all the same."""

    dry_run = True

    def __init__(self, api: Any, namespace: str, **options: Any) -> None:
        super().__init__(api, namespace, **options)
        self._patched: dict[tuple[Kind, str], Object] = {}
        self._operations: dict[tuple[Kind, str], tuple[Object, ...]] = {}

    def list(self, kind: Kind, selector: str) -> list[Object]:
        """As in `Cluster`, with the patches so far."""
        return [self._patched.get((kind, each["metadata"]["name"]), each) for each in super().list(kind, selector)]

    def get(self, kind: Kind, name: str) -> Object | None:
        """As in `Cluster`, with the patches so far."""
        return self._patched.get((kind, name)) or super().get(kind, name)

    def patch(self, patch: Patch) -> None:
        """Let the server check a patch (`dryRun=All`: admission, schema, rights) and remember its answer.

        The server has stored none of the earlier patches, so they are sent again before the new one.
        """
        key = patch.kind, patch.name
        operations = (*self._operations.get(key, ()), *patch.operations)
        self._patched[key] = self._patch(replace(patch, operations=operations), dry_run="All")
        self._operations[key] = operations


def _answer_of(call: Callable[[], _T]) -> _T | None:
    """The server's answer; None for 404."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        return call()
    except HTTPError as err:
        _check_certificate(err)
        raise AnswerLost(f"no answer ({type(err).__name__})") from err
    except ApiException as err:
        if err.status == 404:
            return None
        if err.status == 409:
            raise Outdated from err
        if err.status in _LOST:
            _check_certificate(err)
            raise AnswerLost(
                f"answer {err.status} {err.reason}" if err.status else f"no answer ({err.reason})"
            ) from err
        remedy = {401: "log in again", 403: "the rights needed are in docs/how-to/canary.md"}
        raise (AccessDenied if err.status in remedy else ClusterError)(
            f"the API server refused: {err.status} {_message(err)}; {remedy.get(err.status, 'see the message')}"
        ) from err


def _check_certificate(err: BaseException) -> None:
    """Fail if the server showed a certificate that this machine does not trust, which no wait changes.

    Raises:
        ClusterError: If so.
    """
    causes: list[BaseException | None] = [err]
    while cause := causes.pop():
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise ClusterError(
                f"the API server's certificate is not trusted ({cause.verify_message}); check server and "
                "certificate-authority-data in the kubeconfig"
            ) from err
        reason = getattr(cause, "reason", None)
        causes.append(reason if isinstance(reason, BaseException) else cause.__cause__ or cause.__context__)


def _message(err: Any) -> str:
    try:
        return str(json.loads(err.body)["message"])
    except (ValueError, LookupError, TypeError):
        return str(err.reason)
