"""The two client examples in the README run unchanged against a service."""

import json
import re
import subprocess
import sys

import pytest

from crowdserve.local.service import EmbeddedService
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()

pytestmark = pytest.mark.e2e


def block(language: str, holding: str) -> str:
    """The only code block of a language that contains a text."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if holding in text]
    return str(found)


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_of_the_readme_returns_the_shown_outputs(small_service: EmbeddedService) -> None:
    command = block("bash", "curl").replace("http://127.0.0.1:8080", small_service.http_url)
    reply, shown = json.loads(run(["bash", "-c", command])), json.loads(block("json", "scene_probability"))
    described = [[(o["name"], o["datatype"], o["shape"]) for o in r["outputs"]] for r in (reply, shown)]
    assert described[0] == described[1]
    assert reply["outputs"][0]["data"][0] > 0


def test_python_of_the_readme_prints_count_and_scene(small_service: EmbeddedService) -> None:
    address = small_service.http_url.removeprefix("http://")
    code = block("python", "tritonclient").replace("127.0.0.1:8080", address)
    count, scene = run([sys.executable, "-c", code]).split()
    assert float(count) > 0
    assert scene in {"b'dense'", "b'sparse'"}
