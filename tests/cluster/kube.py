"""kubectl and helm, as an operator runs them, in a namespace of the tests' own."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Object = dict[str, Any]
Done = subprocess.CompletedProcess[str]

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
"""Label of a namespace that takes only pods of the restricted Pod Security Standard."""


def run(*command: object, seconds: float = 120, text: str | None = None, check: bool = True) -> Done:
    """Run a command; by default a failure fails the test with all that it said."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, input=text, timeout=seconds, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)[:400]}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def until(condition: Callable[[], Any], what: str, seconds: float = 90, pause: float = 0.5) -> Any:
    """The first true value of a condition; fails after some seconds."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(pause)
    return value


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace of the cluster.

    Attributes:
        name: Its name.
        helm_binary: The Helm to use.
    """

    name: str
    helm_binary: str = "helm"

    def create(self, labels: Mapping[str, str]) -> None:
        """Make it."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": dict(labels)}})

    def kubectl(self, *arguments: object, seconds: float = 120, text: str | None = None, check: bool = True) -> Done:
        """Run kubectl in this namespace."""
        return run("kubectl", "--namespace", self.name, *arguments, seconds=seconds, text=text, check=check)

    def helm(self, *arguments: object, seconds: float = 300, check: bool = True) -> Done:
        """Run helm in this namespace."""
        return run(self.helm_binary, "--namespace", self.name, *arguments, seconds=seconds, check=check)

    def apply(self, *objects: Object) -> None:
        """Create or change objects."""
        self.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def get(self, kind: str, name: str) -> Object | None:
        """An object; None if there is none."""
        found = self.kubectl("get", kind, name, "--output", "json", "--ignore-not-found").stdout
        return json.loads(found) if found.strip() else None

    def all(self, kind: str, selector: str = "") -> list[Object]:
        """The objects of a kind."""
        return json.loads(self.kubectl("get", kind, "--selector", selector, "--output", "json").stdout)["items"]

    def raw(self, path: str, body: Path | None = None, *, check: bool = True, seconds: float = 60) -> Done:
        """A request through the API server to a Service or pod: GET, or POST of a file."""
        verb = ["create", "-f", body] if body else ["get"]
        return run(
            "kubectl",
            verb[0],
            "--raw",
            f"/api/v1/namespaces/{self.name}/{path}",
            *verb[1:],
            check=check,
            seconds=seconds,
        )

    def delete(self) -> None:
        """Remove it, without waiting."""
        self.kubectl("delete", "namespace", self.name, "--wait=false", "--ignore-not-found", check=False)
