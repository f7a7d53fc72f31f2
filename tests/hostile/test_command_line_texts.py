"""The command line shows hostile names and answers, on any terminal; programs get them exactly."""

import json
import os
import re
import threading
import unicodedata
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from crowdserve.bundle.assembly import build_bundle
from crowdserve.cli import app as command_line
from crowdserve.cli.app import app
from crowdserve.local.service import EmbeddedService
from tests.support.datasets import write_dotted_photos
from tests.support.photos import gray_photo

EVIL = "[/b]\x1b[2J\x9b31m\x1b]0;owned\x07\u202egnp.\r\n2 people"
SHOWN = "[/b]\\x1b[2J\\x9b31m\\x1b]0;owned\\x07\\u202egnp.\\r\\n2 people"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "400", "NO_COLOR": "1"})


def assert_harmless(text: str) -> None:
    found = {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}} - set("\n\u200c\u200d")
    assert not found
    assert "owned" in text  # it is shown


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / f"{EVIL}.png"
    path.parent.mkdir()
    path.write_bytes(gray_photo(255))
    return path


@pytest.mark.e2e
def test_names_of_photos_are_shown_and_not_obeyed(small_service: EmbeddedService, photo: Path, tmp_path: Path) -> None:
    broken = photo.with_name(os.fsdecode(b"\xff[bold]\x1bowned.png"))
    broken.write_bytes(b"no photo")
    url = ("--url", small_service.http_url)
    one = run("count", photo, *url, "--overlay", tmp_path / f"{EVIL}.overlay.png")
    assert one.exit_code == 0, one.exception
    assert_harmless(one.stdout)
    assert one.stdout.splitlines()[0].startswith(f"{tmp_path}/{SHOWN}.png: ")
    assert f"{SHOWN}.overlay.png" in one.stdout
    several = run("count", photo, photo, broken, *url)
    assert several.exit_code == 1
    for text in (several.stdout, several.stderr):
        assert_harmless(text)
    assert len(several.stdout.splitlines()) == 3
    assert f"{SHOWN}.png" in several.stdout
    assert "\\udcff[bold]\\x1bowned.png: " in several.stderr
    exact = run("count", photo, broken, "--json", *url)
    assert [json.loads(line)["photo"] for line in exact.stdout.splitlines()] == [str(photo), str(broken)]
    assert exact.stdout.isascii()


@pytest.mark.e2e
def test_names_of_a_data_set_are_shown_and_not_obeyed(small_service: EmbeddedService, tmp_path: Path) -> None:
    folder = tmp_path / EVIL.replace("/", "")
    folder.mkdir()
    write_dotted_photos(folder)
    output = tmp_path / f"out {folder.name}"
    (next(folder.rglob("*.png"))).write_bytes(b"no photo")
    found = run("evaluate", folder, "--output", output, "--url", small_service.http_url, "--limit", 11)
    assert found.exit_code == 1, found.exception
    assert_harmless(found.stdout + found.stderr)


class Answers(BaseHTTPRequestHandler):
    """Answers every request with the same."""

    status: int
    body: bytes

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[type[Answers]]:
    """What a hostile service answers; `address` is its URL."""
    handler = type("Mine", (Answers,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        handler.address = f"http://127.0.0.1:{running.server_port}"  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield handler
        running.shutdown()
        thread.join()


def answer(**changes: object) -> bytes:
    values: dict[str, Any] = {"count": 2.0, "scene": EVIL, "scene_probability": 0.5, "route": EVIL, "models": "{}"}
    values |= changes
    return json.dumps(
        {"outputs": [{"name": name, "shape": [1], "data": [value]} for name, value in values.items()]}
    ).encode()


def test_answers_of_a_server_are_shown_and_not_obeyed(server: Any, photo: Path) -> None:
    server.status, server.body = 200, answer(models=json.dumps({EVIL: EVIL}))
    for photos in ([photo], [photo, photo]):
        counted = run("count", *photos, "--url", server.address)
        assert counted.exit_code == 0, counted.exception
        assert_harmless(counted.stdout)
        assert counted.stdout.count(SHOWN) >= 3
    exact = json.loads(run("count", photo, "--json", "--url", server.address).stdout)
    assert (exact["scene"], exact["route"], exact["models"]) == (EVIL, EVIL, {EVIL: EVIL})
    for status in (400, 413, 500, 503):
        server.status, server.body = status, json.dumps({"error": EVIL}).encode()
        refused = run("count", photo, "--url", server.address)
        assert refused.exit_code == 1
        assert refused.stderr == f"{photo.parent.parent}/{SHOWN}.png: {SHOWN}\n"


@pytest.mark.parametrize(
    "body",
    [
        answer(count="many"),
        answer(count=None),
        answer(count=float("nan")),
        answer(count=1e999),
        answer(scene_probability=float("inf")),
        answer(models="[]"),
        answer(models="5"),
        answer(models="[" * 100_000),
        answer(scene=b"\xff".decode("latin-1"), models=None),
        b'{"outputs": [5]}',
        b'{"outputs": [{"name": "count", "data": [1], "parameters": 5}]}',
        b'{"outputs": [{"name": "count", "shape": 5, "data": [1]}]}',
        b'{"outputs": [{"name": "count", "shape": [1, "a"], "data": [1]}]}',
        b"[" * 100_000,
    ],
)
def test_an_answer_that_cannot_be_fails_one_photo(body: bytes, server: Any, photo: Path) -> None:
    server.status, server.body = 200, body
    found = run("count", photo, "--url", server.address)
    assert found.exit_code == 1, found.exception
    assert re.search(r"the service's answer .*; check the URL\n$", found.stderr)


def test_an_empty_overlay_replaces_nothing(server: Any, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "overlay.png"
    target.write_bytes(gray_photo(1))
    server.status, server.body = 200, answer(heatmap="no picture")
    assert run("count", photo, "--overlay", target, "--url", server.address).exit_code == 1
    assert target.read_bytes() == gray_photo(1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["count", "x.png", "--route", EVIL],
        ["count", "x.png", f"--{EVIL}"],
        [EVIL],
        ["models", EVIL],
    ],
)
def test_a_wrong_argument_is_quoted_and_not_obeyed(arguments: list[str]) -> None:
    found = run(*arguments)
    assert found.exit_code == 2
    assert_harmless(found.stderr + "owned")
    assert "\\x1b" in found.stderr


def test_lines_of_an_error_cannot_pass_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["crowdserve", "bundle", "verify", str(tmp_path / f"x{EVIL}\ncrowdserve: fine")])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert_harmless("\n".join(lines))
    assert [line for line in lines if line.startswith("crowdserve: ")] == lines[:1]


def test_texts_of_a_bundle_are_shown_and_not_obeyed(
    small_repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / EVIL.replace("/", "")
    build_bundle(small_repository, folder, "cpu")
    found = run("bundle", "verify", folder)
    assert found.exit_code == 0, found.exception
    assert_harmless(found.stdout + found.stderr)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("cpu", json.dumps(f"cpu{EVIL}").strip('"')))
    monkeypatch.setattr("sys.argv", ["crowdserve", "bundle", "verify", str(folder)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 2
    assert_harmless(capsys.readouterr().err)
