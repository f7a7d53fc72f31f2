"""What the README and the first tutorial show works: curl and Python ask a running service as they stand there."""

import json
import subprocess
import sys

import pytest

from crowdserve.local.service import EmbeddedService
from tests.docs.pages import DOCS, ROOT, code

README = (ROOT / "README.md").read_text()
TUTORIAL = (DOCS / "tutorials" / "first-count.md").read_text()

pytestmark = pytest.mark.e2e


def block(page: str, language: str, holding: str) -> str:
    """The one code block of a language in a page that holds a text."""
    (found,) = [text for text in code(page, language) if holding in text]
    return found


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_of_the_readme_returns_the_shown_outputs(small_service: EmbeddedService) -> None:
    command = block(README, "bash", "curl").replace("http://127.0.0.1:8080", small_service.http_url)
    reply, shown = json.loads(run(["bash", "-c", command])), json.loads(block(README, "json", "scene_probability"))
    described = [[(o["name"], o["datatype"], o["shape"]) for o in r["outputs"]] for r in (reply, shown)]
    assert described[0] == described[1]
    assert reply["outputs"][0]["data"][0] > 0


def test_tutorial_and_readme_show_the_same_commands() -> None:
    assert block(TUTORIAL, "bash", "curl") == block(README, "bash", "curl")
    assert block(TUTORIAL, "console", "make demo") == block(README, "console", "make demo")


def test_python_of_the_tutorial_prints_count_and_scene(small_service: EmbeddedService) -> None:
    address = small_service.http_url.removeprefix("http://")
    code = block(TUTORIAL, "python", "tritonclient").replace("127.0.0.1:8080", address)
    count, scene = run([sys.executable, "-c", code]).split()
    assert float(count) > 0
    assert scene in {"b'dense'", "b'sparse'"}
