"""What must not be seen in a log, a metric or a page."""

import io
import logging
from pathlib import Path

import pytest

from crowdserve.live.secrets import HidingFilter, Secrets, hide_in_urls


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("rtsp://user:pass@10.0.0.7/live", "rtsp://10.0.0.7/live"),
        ("rtsp://user:p@ss:w/rd@10.0.0.7:554/live?x=1", "rtsp://10.0.0.7:554/live?x=***"),
        ("rtsp://user@camera", "rtsp://camera"),
        ("http://camera/snap.jpg?user=admin&pwd=hush;t=5#top", "http://camera/snap.jpg?user=***&pwd=***;t=***#top"),
        ("failed: 'rtsp://u:p@h/x' and https://h/?token=a!", "failed: 'rtsp://h/x' and https://h/?token=***"),
        ("postgresql+psycopg://me:secret@db/crowd", "postgresql+psycopg://db/crowd"),
        ("http://camera/~user@home/x", "http://home/x"),
        ("sqlite:///history.db", "sqlite:///history.db"),
        ("no URL: a@b, x=1", "no URL: a@b, x=1"),
    ],
)
def test_urls_are_shown_without_what_may_be_secret(text: str, hidden: str) -> None:
    assert hide_in_urls(text) == hidden


def test_values_are_filled_in_and_hidden(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file\n")
    secrets = Secrets({"NAME": "admin", "PASSWORD": "correct horse"})
    filled = secrets.filled_in(f"${{NAME}} ${{PASSWORD}} ${{file:{tmp_path}/secret}} $HOME")
    assert filled == "admin correct horse from-a-file $HOME"
    assert secrets.hide(f"it said {filled}!") == "it said *** *** *** $HOME!"


def test_secrets_of_one_configuration_stay_hidden_in_the_next() -> None:
    old, new = Secrets({"A": "first-secret"}), Secrets({"A": "second-secret"})
    old.filled_in("${A}")
    new.filled_in("${A}")
    new.learn(old)
    assert new.hide("first-secret second-secret") == "*** ***"


@pytest.mark.parametrize("text", ["${MISSING}", "${EMPTY}", "${file:/does/not/exist}"])
def test_what_has_no_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not set; export|cannot be read"):
        Secrets({"EMPTY": ""}).filled_in(text)


def test_log_records_and_tracebacks_hide_them() -> None:
    secrets = Secrets({"PASSWORD": "correct-horse"})
    password = secrets.filled_in("${PASSWORD}")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(HidingFilter(secrets))
    log = logging.Logger("test")
    log.addHandler(handler)
    log.warning("cannot open %s: %s", f"rtsp://user:{password}@camera/1?key=7f", password)
    try:
        raise RuntimeError(f"http://user:{password}@camera")
    except RuntimeError:
        log.exception("failed with %s", password)
    text = stream.getvalue()
    assert "Traceback" in text
    assert "rtsp://camera/1?key=***" in text
    assert password not in text
    assert "7f" not in text


@pytest.mark.parametrize("text", ["${}", "${X:-y}", "${ X }", "x${X", "${file:}"])
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no reference; expected \$\{NAME\} or"):
        Secrets({"X": "value"}).filled_in(text)


def test_a_dollar_before_stands_for_the_text_itself() -> None:
    assert Secrets({"X": "value"}).filled_in("$${X} $$ ${X}") == "${X} $$ value"
