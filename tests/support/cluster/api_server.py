"""A stand-in for a Kubernetes API server with custom objects, patches and watches, over real HTTP.

It keeps resource versions, answers 409 to a patch that holds an old one, knows dry runs, field and label selectors,
JSON patches (RFC 6902: add, remove, replace, test) and merge patches (RFC 7386), and streams watch events. Faults, of
`api_faults`, are injected per request with `ApiServer.disturb`.
"""

import copy
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from tests.support.cluster.stoppable import StoppableServer

Object = dict
Key = tuple[str, str, str]  # plural, namespace, name

KINDS = {
    "inferenceservices": ("InferenceService", "serving.kserve.io/v1beta1"),
    "httproutes": ("HTTPRoute", "gateway.networking.k8s.io/v1"),
    "grpcroutes": ("GRPCRoute", "gateway.networking.k8s.io/v1"),
    "servingruntimes": ("ServingRuntime", "serving.kserve.io/v1alpha1"),
    "deployments": ("Deployment", "apps/v1"),
    "leases": ("Lease", "coordination.k8s.io/v1"),
}
_PATH = re.compile(r"/apis/([^/]+/[^/]+)/namespaces/([^/]+)/([^/]+)(?:/([^/]+))?")


class Refused(Exception):
    """A response other than 200."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message


class ApiServer(StoppableServer):
    """The server; a context manager, which keeps its objects while it is stopped.

    Attributes:
        requests: Method and path of each request, in order.
        patches: Plural, name and body of each patch that was stored.
        on_change: Called with the key of each object that a patch changed: the place of a controller.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.patches: list[tuple[str, str, object]] = []
        self.on_change: list[Callable[[Key], None]] = []
        self.known = set(KINDS)
        self._objects: dict[Key, Object] = {}
        self._events: list[tuple[int, Key, Object]] = []
        self._version = 100
        self._changed = threading.Condition(threading.RLock())
        self._faults: list[tuple[str, Callable[[Handler], bool]]] = []
        self._closing = False
        super().__init__(Handler, "api")

    def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Serve the objects that there are."""
        self._closing = False
        super().start(tls)

    def stop(self) -> None:
        """Break all connections, watches too."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        super().stop()

    def create(self, plural: str, found: Object, namespace: str = "demo") -> None:
        """Store a new object."""
        kind, version = KINDS[plural]
        found = {"apiVersion": version, "kind": kind, **copy.deepcopy(found)}
        found["metadata"] = {"namespace": namespace, "generation": 1, **found["metadata"]}
        self._store((plural, namespace, found["metadata"]["name"]), found)

    def read(self, plural: str, name: str, namespace: str = "demo") -> Object:
        """A copy of an object."""
        with self._changed:
            return copy.deepcopy(self._objects[plural, namespace, name])

    def change(self, plural: str, name: str, change: Callable[[Object], None], namespace: str = "demo") -> None:
        """Change an object directly, as a controller or another user would."""
        with self._changed:
            found = self.read(plural, name, namespace)
            spec = copy.deepcopy(found.get("spec"))
            change(found)
            if found.get("spec") != spec:
                found["metadata"]["generation"] += 1
            self._store((plural, namespace, name), found)

    def delete(self, plural: str, name: str, namespace: str = "demo") -> None:
        """Remove an object."""
        with self._changed:
            del self._objects[plural, namespace, name]

    def disturb(self, method: str, fault: Callable[["Handler"], bool]) -> None:
        """Inject a fault into the next request of a method; the fault returns whether the request is finished."""
        self._faults.append((method, fault))

    def fault_of(self, method: str) -> Callable[["Handler"], bool] | None:
        """The fault that is due for a request."""
        for i, (wanted, fault) in enumerate(self._faults):
            if wanted == method:
                del self._faults[i]
                return fault
        return None

    def list(self, plural: str, namespace: str, query: dict[str, str]) -> Object:
        """A list, by label and field."""
        with self._changed:
            found = [
                copy.deepcopy(each)
                for (each_plural, each_namespace, _), each in sorted(self._objects.items())
                if (each_plural, each_namespace) == (plural, namespace) and _selected(each, query)
            ]
            return {
                "kind": KINDS[plural][0] + "List",
                "metadata": {"resourceVersion": str(self._version)},
                "items": found,
            }

    def write(self, key: Key, body: Object, *, is_new: bool) -> Object:
        """Create or replace, as the real server does."""
        with self._changed:
            if is_new == (key in self._objects):
                reason = ("AlreadyExists", 409) if is_new else ("NotFound", 404)
                raise Refused(reason[1], reason[0], f'{key[0]} "{key[2]}" {reason[0]}')
            created = {"creationTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
            if not is_new:
                before = self._objects[key]["metadata"]
                if body["metadata"].get("resourceVersion", before["resourceVersion"]) != before["resourceVersion"]:
                    raise Refused(409, "Conflict", "the object has been modified")
                created["creationTimestamp"] = before["creationTimestamp"]
            self._store(key, {**body, "metadata": body["metadata"] | created | {"namespace": key[1]}})
            return self.read(key[0], key[2], key[1])

    def patch(self, key: Key, content_type: str, body: object, *, dry_run: bool) -> Object:
        """Apply a patch as the real server does."""
        with self._changed:
            before = self._existing(key)
            after = _patched(before, content_type, body)
            if after["metadata"].get("resourceVersion") != before["metadata"]["resourceVersion"]:
                raise Refused(
                    409,
                    "Conflict",
                    f'Operation cannot be fulfilled on {key[0]} "{key[2]}": the object has '
                    "been modified; please apply your changes to the latest version and try again",
                )
            if dry_run or after == before:
                return after
            if after.get("spec") != before.get("spec"):
                after["metadata"]["generation"] += 1
            self.patches.append((key[0], key[2], body))
            self._store(key, after)
        for call in self.on_change:
            call(key)
        return self.read(key[0], key[2], key[1])

    def events(self, plural: str, namespace: str, query: dict[str, str], seconds: float) -> Iterator[Object]:
        """Watch events after a resource version, as they come."""
        seen, deadline = int(query.get("resourceVersion", 0)), time.monotonic() + seconds
        while not self._closing and time.monotonic() < deadline:
            with self._changed:
                new = [e for e in self._events if e[0] > seen and e[1][:2] == (plural, namespace)]
                if not new:
                    self._changed.wait(0.05)
            for version, _, found in new:
                seen = version
                if _selected(found, query):
                    yield {"type": "MODIFIED", "object": found}

    def _existing(self, key: Key) -> Object:
        if key not in self._objects:
            raise Refused(404, "NotFound", f'{key[0]} "{key[2]}" not found')
        return self._objects[key]

    def _store(self, key: Key, found: Object) -> None:
        with self._changed:
            self._version += 1
            found["metadata"]["resourceVersion"] = str(self._version)
            self._objects[key] = found
            self._events.append((self._version, key, copy.deepcopy(found)))
            self._changed.notify_all()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the receipt of its headers
    api: ApiServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def _answer(self, method: str) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        method = "WATCH" if query.get("watch") in {"true", "True"} else method
        self.api.requests.append(f"{method} {url.path}")
        fault = self.api.fault_of(method)
        self.perform = lambda: self._perform(method, url.path, query, body)
        if fault and fault(self):
            return
        try:
            result = self.perform()
        except Refused as err:
            self.refuse(err.code, err.reason, err.message)
        else:
            if result is not None:
                self.reply(201 if method == "POST" else 200, result)

    def _perform(self, method: str, path: str, query: dict[str, str], body: bytes) -> Object | None:
        match = _PATH.fullmatch(path)
        if not match or match[3] not in self.api.known or match[1] != KINDS[match[3]][1]:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        _, namespace, plural, name = match.groups()
        if method == "WATCH":
            return self._watch(plural, namespace, query)
        if method == "PATCH":
            content_type, dry_run = self.headers["Content-Type"], query.get("dryRun") == "All"
            return self.api.patch((plural, namespace, name), content_type, json.loads(body), dry_run=dry_run)
        if method in {"POST", "PUT"}:
            found = json.loads(body)
            return self.api.write((plural, namespace, found["metadata"]["name"]), found, is_new=method == "POST")
        if name:
            return copy.deepcopy(self.api._existing((plural, namespace, name)))
        return self.api.list(plural, namespace, query)

    def _watch(self, plural: str, namespace: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in self.api.events(plural, namespace, query, float(query.get("timeoutSeconds", 60))):
                line = json.dumps(event).encode() + b"\n"
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True  # the watcher has closed the connection

    def refuse(self, code: int, reason: str, message: str) -> None:
        """Answer with a Status object."""
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
        self.reply(code, {**status, "message": message, "reason": reason, "code": code})

    def reply(self, code: int, content: Object) -> None:
        """Answer with JSON."""
        text = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def hang_up(self) -> None:
        """Break the connection without an answer."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _selected(found: Object, query: dict[str, str]) -> bool:
    labels = found["metadata"].get("labels", {})
    wanted = dict(each.split("=") for each in query.get("labelSelector", "").split(",") if each)
    name = query.get("fieldSelector", "").removeprefix("metadata.name=")
    return all(labels.get(key) == value for key, value in wanted.items()) and name in {"", found["metadata"]["name"]}


def _patched(found: Object, content_type: str, body: object) -> Object:
    if content_type == "application/json-patch+json":
        result = copy.deepcopy(found)
        for operation in body:
            _apply(result, operation)
        return result
    if content_type == "application/merge-patch+json":
        return _merged(copy.deepcopy(found), body)
    raise Refused(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {content_type}")


def _apply(document: Object, operation: Object) -> None:
    op, *path = (
        operation["op"],
        *(part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]),
    )
    parent = document
    try:
        for part in path[:-1]:
            parent = parent[int(part)] if isinstance(parent, list) else parent[part]
        if isinstance(parent, list):
            last = len(parent) if path[-1] == "-" else int(path[-1])
            if op == "add":
                parent.insert(last, operation["value"])
                return
        else:
            last = path[-1]
        if op != "add":
            existing = parent[last]
        if op == "remove":
            del parent[last]
        elif op == "test":
            if existing != operation["value"]:
                raise LookupError
        else:
            parent[last] = copy.deepcopy(operation["value"])
    except (LookupError, TypeError, ValueError) as err:
        message = f"the server rejected our request due to an error in our request: {operation}"
        raise Refused(422, "Invalid", message) from err


def _merged(target: object, patch: object) -> object:
    if not isinstance(patch, dict):
        return patch
    target = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = _merged(target.get(key), value)
    return target
