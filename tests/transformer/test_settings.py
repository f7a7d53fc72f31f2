import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from crowdserve.cards import COUNTERS
from crowdserve.errors import SetupError
from crowdserve_transformer.settings import Settings, environment_variable, read_settings
from tests.support.free_ports import free_port


def test_flag_precedes_environment_precedes_default() -> None:
    environment = {"CROWDSERVE_HTTP_PORT": "9000", "CROWDSERVE_ROUTE": "dense"}
    settings = read_settings(["--http_port", "9001"], environment)
    assert (settings.http_port, settings.route, settings.counter) == (9001, "dense", "csrnet")
    assert read_settings([], {}) == Settings()


@pytest.mark.parametrize("setting", [f.name for f in fields(Settings)])
def test_every_default_is_valid_as_flag_and_variable(setting: str) -> None:
    default = str(getattr(Settings(), setting))
    assert read_settings([f"--{setting}={default}"], {}) == Settings()
    assert read_settings([f"--{setting.replace('_', '-')}={default}"], {}) == Settings()
    assert read_settings([], {environment_variable(setting): default}) == Settings()


def test_flags_added_by_kserve_are_accepted() -> None:
    arguments = ["--model_name", "crowd", "--predictor_host", "crowd-predictor.ns", "--http_port", "8080"]
    settings = read_settings([*arguments, "--workers", "1", "--predictor_protocol", "v2"], {})
    assert settings.model_name == "crowd"
    assert settings.predictor_host == "crowd-predictor.ns:80"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("triton", "triton:80"),
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("[::1]:85", "[::1]:85"),
        ("[fd00::7]", "[fd00::7]:80"),
    ],
)
def test_predictor_without_port_is_a_service_on_port_80(text: str, address: str) -> None:
    assert read_settings(["--predictor_host", text], {}).predictor_host == address


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("http_port", "0", "whole number from 1 to 65535"),
        ("http_port", "eighty", "whole number from 1 to 65535"),
        ("grpc_port", "65536", "whole number from 1 to 65535"),
        ("predictor_host", "http://triton:8000", "without a scheme"),
        ("predictor_host", ":8000", "HOST:PORT"),
        ("predictor_host", "triton:web", "HOST:PORT"),
        ("predictor_host", "fd00::7:8000", r"such as .*\[::1\]:8000"),
        ("predictor_host", "::1", r"such as .*\[::1\]:8000"),
        ("predictor_host", "[triton]:80", "triton"),
        ("host", "", ":: for all of them"),
        ("predictor_protocol", "v1", "expected one of v2"),
        ("predictor_use_ssl", "perhaps", "true or false"),
        ("verify_bundle", "sometimes", "auto, required, off"),
        ("bundle_digest", "sha256:0", "64 hexadecimal digits"),
        ("bundle_digest", "0" * 64, "sha256: and 64 hexadecimal digits"),
        ("allow_pickle", "perhaps", "true or false"),
        ("route", "fast", "auto, dense, sparse, blend"),
        ("counter", "sorcery", f"expected one of {', '.join(COUNTERS)}, average"),
        ("scene_classifier", "../count", "lower-case letters, digits and hyphens"),
        ("max_body_bytes", "-1", "whole number from 1 up"),
        ("max_body_bytes", "1.5", "whole number from 1 up"),
        ("max_pixels", "0", "from 1 up"),
        ("max_batch_size", "0", "from 1 up"),
        ("triton_timeout_seconds", "0", "from 0.001 up"),
        ("triton_timeout_seconds", "soon", "number of seconds"),
        ("drain_seconds", "-1", "from 0 up"),
        ("drain_seconds", "inf", "number of seconds"),
        ("drain_seconds", "nan", "number of seconds"),
        ("log_level", "LOUD", "DEBUG, INFO"),
        ("workers", "2", "run more replicas instead"),
    ],
)
def test_invalid_value_names_its_origin(setting: str, value: str, message: str) -> None:
    with pytest.raises(SetupError, match=rf"^--{setting} is '.*{message}"):
        read_settings([f"--{setting}={value}"], {})
    with pytest.raises(SetupError, match=rf"^CROWDSERVE_{setting.upper()} is '.*{message}"):
        read_settings([], {environment_variable(setting): value})


def test_kubernetes_variables_with_the_prefix_are_ignored() -> None:
    kubernetes = {"CROWDSERVE_SERVICE_HOST": "10.0.0.1", "CROWDSERVE_PORT": "tcp://10.0.0.1:80"}
    assert read_settings([], kubernetes) == Settings()


def test_unknown_flag_ends_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_settings(["--max_pixel", "5"], {})  # abbreviations are not accepted
    assert "--max_pixel" in capsys.readouterr().err


def test_help_lists_variable_and_default_of_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_settings(["--help"], {})
    text = " ".join(capsys.readouterr().out.split())
    for setting in fields(Settings):
        assert f"--{setting.name} " in text
        assert f"[{environment_variable(setting.name)}]" in text
        assert f"(default: {setting.default})" in text
    for setting in fields(Settings):
        unit = setting.name.rsplit("_", 1)[-1]
        if unit in {"bytes", "pixels", "seconds"}:
            assert unit in setting.metadata["meaning"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--http_port=0"], "--http_port is '0'"), (["--repository=/nowhere"], "set --repository")],
)
def test_startup_error_prints_one_line(flags: list[str], message: str, tmp_path: Path) -> None:
    ports = [f"--{name}={free_port()}" for name in ("http_port", "grpc_port", "metrics_port")]
    command = [sys.executable, "-m", "crowdserve_transformer", *ports, *flags]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("crowdserve_transformer: ")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
