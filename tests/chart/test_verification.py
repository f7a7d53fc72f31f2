"""The shell that compares a bundle before Triton starts, in the shells that images have, against altered bundles."""

import base64
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from crowdserve.bundle.manifest import Manifest, describe_files, parse_manifest
from crowdserve.cards import CARDS, ENSEMBLES
from tests.chart.test_serving import environment
from tests.support.rendering import Chart

APPLETS = (
    "base64", "cat", "cut", "echo", "find", "grep", "ln", "mkdir", "mktemp", "od", "rm", "sed", "sh", "sha256sum",
    "tr", "wc",
)  # fmt: skip
"""The programs that the script runs, besides openssl."""
ELF = b"\x7fELF" + bytes(60)


@dataclass(frozen=True)
class Start:
    """Starts of Triton's container in a folder, with a command in Triton's place that only tells that it ran."""

    chart: Chart
    folder: Path
    shell: tuple[str, ...]
    path: str
    backends: tuple[str, ...] = ("onnxruntime", "tensorrt")

    @property
    def models(self) -> Path:
        return self.folder / "models"

    def __call__(self, base: str = "default", **values: object) -> str:
        """Start it; "served", or why it refused."""
        (self.folder / "tmp").mkdir(exist_ok=True)
        for backend in self.backends:
            (self.folder / "backends" / backend).mkdir(parents=True, exist_ok=True)
        off = {"engineCache": {"enabled": False}} if base == "default" else {}
        triton = self.chart.render(base, **(off | values)).triton()
        script = triton["args"][2]
        for rendered, here in {
            "/tmp/": f"{self.folder}/tmp/", "/mnt/models": self.models,
            "/opt/tritonserver/backends": self.folder / "backends", "/dev/shm/": f"{self.folder}/shm/",
            "/run/crowdserve": self.folder,
        }.items():  # fmt: skip
            script = script.replace(rendered, str(here))
        variables = {**environment(triton), "PATH": self.path, "TMPDIR": str(self.folder / "tmp")}
        done = subprocess.run(
            [*self.shell, "-c", script, "triton", "echo", "served"],
            env=variables, capture_output=True, text=True, timeout=20,
        )  # fmt: skip
        assert not list((self.folder / "tmp").glob("tmp.*")), "its temporary files stay"
        if done.returncode == 0:
            assert done.stdout.partition(" --model-config-name=")[0].rstrip("\n").endswith(" served"), done
            return "served"
        assert not done.stdout, done
        assert "\x1b" not in done.stderr
        return done.stderr


@pytest.fixture(params=["sh", "bash", "busybox"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[tuple[str, ...], str]:
    """A shell, and the PATH that it has."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    if request.param != "busybox":
        return (request.param,), os.environ["PATH"]
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in APPLETS:
        (tools / name).symlink_to(shutil.which("busybox") or "")
    (tools / "openssl").symlink_to(shutil.which("openssl") or "openssl")
    return (str(shutil.which("busybox")), "sh"), str(tools)


@pytest.fixture
def start(chart: Chart, tmp_path: Path, shell: tuple[tuple[str, ...], str]) -> Start:
    """A start in every shell, with a whole bundle."""
    made = Start(chart, tmp_path, *shell)
    write_bundle(made.models)
    return made


@pytest.fixture
def quick(chart: Chart, tmp_path: Path) -> Start:
    """A start in the shell of this machine, with a whole bundle."""
    made = Start(chart, tmp_path, ("sh",), os.environ["PATH"])
    write_bundle(made.models)
    return made


def write_bundle(folder: Path) -> Manifest:
    """A bundle of the networks and ensembles."""
    for name in (*CARDS, *(each.name for each in ENSEMBLES.values())):
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(f'name: "{name}"')
        (folder / name / "1" / ("model.onnx" if name in CARDS else "ensemble.txt")).write_text(name)
    manifest = Manifest("0.2.0", "gpu", dict.fromkeys(CARDS, (1,)), describe_files(folder))
    (folder / "manifest.json").write_bytes(manifest.to_bytes())
    return manifest


def digest(start: Start) -> str:
    return hashlib.sha256((start.models / "manifest.json").read_bytes()).hexdigest()


def test_whole_bundle_is_served(start: Start) -> None:
    (start.models / "lost+found").mkdir()
    for pinned in ("", digest(start), f"sha256:{digest(start)}"):
        assert start(storage={"digest": pinned}) == "served"


def test_another_digest_is_refused(start: Start) -> None:
    said = start(storage={"digest": "0" * 64})
    assert f"is the bundle sha256:{digest(start)}, expected sha256:{'0' * 64}" in said


def put(path: str, content: bytes = b"import os") -> Callable[[Path], object]:
    def change(models: Path) -> None:
        (models / path).parent.mkdir(parents=True, exist_ok=True)
        (models / path).write_bytes(content)

    return change


DIFFERENCES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed file": (put("vgg16/1/model.onnx"), "vgg16/1/model.onnx: FAILED"),
    "missing file": (lambda models: (models / "vgg16/config.pbtxt").unlink(), "vgg16/config.pbtxt: FAILED"),
    "hidden model": (put(".hidden/1/model.py"), "does not list: .hidden/1/model.py"),
    "extra model": (put("extra/1/model.py"), "does not list: extra/1/model.py"),
    "extra version": (put("vgg16/2/model.onnx"), "vgg16/2/model.onnx"),
    "extra program of a model": (put("vgg16/1/model.py"), "vgg16/1/model.py"),
    "hidden file of a model": (put("vgg16/1/.model.py"), "vgg16/1/.model.py"),
    "plan": (put("vgg16/1/model.plan"), "vgg16/1/model.plan"),
    "hashes of plans": (put("plans.sha256", b""), "plans.sha256"),
    "empty folder": (lambda models: (models / "extra").mkdir(), "does not list: extra"),
    "empty folder in a model": (lambda models: (models / "vgg16/9").mkdir(), "vgg16/9"),
    "file in lost+found": (put("lost+found/model.py"), "lost+found is not empty"),
    "lost+found that is a file": (put("lost+found"), "odd names: ./lost+found"),
    "lost+found of a model": (put("vgg16/lost+found/model.py"), "odd names: ./vgg16/lost+found"),
    "link": (lambda models: (models / "extra").symlink_to("vgg16"), "has links, devices or odd names: ./extra"),
    "link in place of a file": (
        lambda models: (
            (models / "a").write_bytes(b"vgg16")
            and (models / "vgg16/1/model.onnx").unlink() is None
            and (models / "vgg16/1/model.onnx").symlink_to(models / "a")
        ),
        "has links",
    ),
    "pipe": (lambda models: os.mkfifo(models / "vgg16/pipe"), "has links, devices"),
    "name of two lines": (put("x\n./vgg16/config.pbtxt"), "odd names"),
    "name with an escape sequence": (put("\x1b[2Jx"), "odd names: ./?[2Jx"),
    "name that is no text": (put(os.fsdecode(b"\xff\xfe")), "odd names"),
    "name like a flag": (put("-rf"), "does not list: -rf"),
    "no manifest": (lambda models: (models / "manifest.json").unlink(), "has no manifest.json"),
    "manifest that is a link": (
        lambda models: (
            (models / "manifest.json").rename(models.parent / "manifest.json")
            and (models / "manifest.json").symlink_to("../manifest.json")
        ),
        "has no manifest.json",
    ),
}


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_difference_is_refused(start: Start, difference: str) -> None:
    change, message = DIFFERENCES[difference]
    change(start.models)
    assert message in start()


@pytest.fixture
def from_hub(quick: Start) -> Start:
    """A bundle as Hugging Face's library leaves it."""
    for path in (
        ".gitattributes", ".cache/huggingface/.gitignore", ".cache/huggingface/CACHEDIR.TAG",
        ".cache/huggingface/download/.gitattributes.metadata", ".cache/huggingface/download/manifest.json.metadata",
        ".cache/huggingface/download/vgg16/1/model.onnx.metadata",
        ".cache/huggingface/download/vgg16/1/model.onnx.lock", f".cache/huggingface/trees/{'a1' * 20}.json",
    ):  # fmt: skip
        put(path)(quick.models)
    return quick


def test_what_a_download_from_a_hub_leaves_behind_is_no_difference(from_hub: Start) -> None:
    assert from_hub() == "served"
    manifest = parse_manifest((from_hub.models / "manifest.json").read_bytes(), "manifest.json")
    assert manifest.differences(from_hub.models) == []


@pytest.mark.parametrize(
    "path",
    [
        ".cache/huggingface/model.py", ".cache/1/model.py", ".cache/huggingface/download/x.metadata",
        ".cache/huggingface/download/vgg16/1/model.onnx.metadata.metadata", ".cache/huggingface/trees/1/model.py",
        f".cache/huggingface/trees/{'a' * 39}.json", "vgg16/.gitattributes", ".cache/config.pbtxt",
        "vgg16/.cache/huggingface/.gitignore", f"x{'.cache/huggingface/trees/'}{'a' * 40}.json",
    ],
)  # fmt: skip
def test_nothing_else_hides_beside_it(from_hub: Start, path: str) -> None:
    put(path)(from_hub.models)
    assert f"does not list: {path}" in from_hub()


def rewritten(change: Callable[[str], str]) -> Callable[[Path], object]:
    return lambda models: (models / "manifest.json").write_text(change((models / "manifest.json").read_text()))


FIRST = '    "crowd_dense/1/ensemble.txt": {'
MANIFESTS: dict[str, Callable[[Path], object]] = {
    "in another layout": rewritten(lambda text: " ".join(text.split())),
    "with lines as on Windows": rewritten(lambda text: text.replace("\n", "\r\n")),
    "cut off": rewritten(lambda text: text[: len(text) // 2]),
    "cut off after the files": rewritten(lambda text: text[: text.index('  "format"')]),
    "without its last line's end": rewritten(str.strip),
    "with two lists": rewritten(lambda text: text.replace('  "format"', '  "files": {\n  },\n  "format"')),
    "without files": rewritten(lambda text: text[: text.index(FIRST)] + '  },\n  "format": 1\n}\n'),
    "empty": rewritten(lambda _: ""),
    "with a file above": rewritten(lambda text: text.replace(FIRST, '    "../other": {')),
    "with a file above, in the middle": rewritten(lambda text: text.replace(FIRST, '    "vgg16/../../other": {')),
    "with an absolute path": rewritten(lambda text: text.replace(FIRST, '    "/etc/hostname": {')),
    "with a hidden file": rewritten(lambda text: text.replace(FIRST, '    "vgg16/.hidden": {')),
    "with a flag": rewritten(lambda text: text.replace(FIRST, '    "-c": {')),
    "with an odd path": rewritten(lambda text: text.replace(FIRST, '    "$(id)": {')),
    "with an escape": rewritten(lambda text: text.replace(FIRST, '    "a\\u001b": {')),
    "with itself": rewritten(lambda text: text.replace(FIRST, '    "manifest.json": {')),
    "with its signature": rewritten(lambda text: text.replace(FIRST, '    "manifest.json.sig": {')),
    "with a short hash": rewritten(lambda text: text.replace('"sha256": "', '"sha256": "0', 1)),
    "with no hash": rewritten(lambda text: text.replace('"sha256": "', '"sha256": "z', 1)),
    "with a field": rewritten(lambda text: text.replace('      "size_bytes"', '      "other": 1,\n      "size_bytes"')),
    "of megabytes": rewritten(lambda text: text + " " * (1 << 20)),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_manifest_that_crowdserve_would_not_write_is_refused(start: Start, kind: str) -> None:
    (start.models.parent / "other").write_text("outside")
    MANIFESTS[kind](start.models)
    assert "manifest.json" in start()


@pytest.mark.parametrize(("verify", "serves"), [("required", False), ("auto", True), ("off", True)])
def test_setting_decides_whether_a_manifest_is_required(quick: Start, verify: str, serves: bool) -> None:
    (quick.models / "manifest.json").unlink()
    setting = {"transformer": {"settings": {"verifyBundle": verify}}}
    for base in ("default", "standalone"):
        assert (quick(base, **setting) == "served") == serves
    if verify == "auto":
        for pinned in ({"digest": "0" * 64}, {"publicKey": make_key(quick.folder, "k")}):
            assert "has no manifest.json" in quick(storage=pinned, **setting)


# Signatures


def openssl(*words: str | Path, content: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *words], input=content, capture_output=True, check=True).stdout


def make_key(folder: Path, name: str, curve: str = "prime256v1") -> str:
    """A private key in folder/NAME; its public one as cosign writes it."""
    openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", folder / name)
    return openssl("ec", "-in", folder / name, "-pubout").decode()


def sign(start: Start, name: str) -> None:
    made = openssl("dgst", "-sha256", "-sign", start.folder / name, start.models / "manifest.json")
    (start.models / "manifest.json.sig").write_bytes(base64.b64encode(made))


def test_signature_of_the_key_is_required(start: Start) -> None:
    key = {"publicKey": make_key(start.folder, "mine")}
    make_key(start.folder, "other")
    assert "has no manifest.json.sig" in start(storage=key)
    sign(start, "mine")
    assert start(storage=key) == "served"
    assert start(storage={"publicKey": key["publicKey"].replace("\n", "\n  ")}) == "served"  # as YAML may indent it
    assert start(storage=key | {"digest": digest(start)}) == "served"
    assert start() == "served"  # a signature that nobody asked for is no difference
    sign(start, "other")
    assert "is not of its manifest.json by the key in storage.publicKey" in start(storage=key)
    for content in (b"", b"AAAA", b"\xff\xfe", b"-" * 1000):
        (start.models / "manifest.json.sig").write_bytes(content)
        assert "manifest.json.sig is no" in start(storage=key)


def test_signature_of_another_manifest_is_refused(start: Start) -> None:
    key = {"publicKey": make_key(start.folder, "mine")}
    sign(start, "mine")
    (start.models / "vgg16/1/model.onnx").write_text("forged")
    (start.models / "manifest.json").write_bytes(
        Manifest("0.2.0", "gpu", dict.fromkeys(CARDS, (1,)), bundle_files(start.models)).to_bytes()
    )
    assert start() == "served"
    assert "is not of its manifest.json" in start(storage=key)


def bundle_files(folder: Path) -> dict:
    return {name: entry for name, entry in describe_files(folder).items() if not name.startswith("manifest")}


def test_image_without_openssl_refuses_to_check_a_signature(quick: Start) -> None:
    key = {"publicKey": make_key(quick.folder, "mine")}
    sign(quick, "mine")
    tools = quick.folder / "tools"
    tools.mkdir()
    for name in APPLETS:
        (tools / name).symlink_to(shutil.which(name) or name)
    bare = replace(quick, path=str(tools))
    assert bare() == "served"
    assert "the image has no openssl to check a signature" in bare(storage=key)


# Plans of device tensorrt


def add_plans(start: Start) -> None:
    for name in CARDS:
        (start.models / name / "1" / "model.plan").write_text(f"plan of {name}")
    done = subprocess.run(
        "sha256sum */*/model.plan", shell=True, cwd=start.models, capture_output=True, text=True, check=True
    )
    (start.models / "plans.sha256").write_text(done.stdout)


PLANS: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (put("vgg16/1/model.plan"), "vgg16/1/model.plan: FAILED"),
    "unlisted": (put("vgg16/2/model.plan"), "does not list: vgg16/2/model.plan"),
    "of no network": (
        lambda models: (
            put("extra/1/model.plan")(models)
            or (models / "plans.sha256").write_text(f"{'0' * 64}  extra/1/model.plan\n")
        ),
        "a plan of no network",
    ),
    "that is no plan": (
        lambda models: (models / "plans.sha256").write_text(f"{'0' * 64}  vgg16/1/model.py\n"),
        "expected plans",
    ),
    "without a hash": (lambda models: (models / "plans.sha256").write_text("x  vgg16/1/model.plan\n"), "the SHA-256 x"),
    "above": (
        lambda models: (models / "plans.sha256").write_text(f"{'0' * 64}  ../../vgg16/1/model.plan\n"),
        "a plan of no network",
    ),
    "without hashes": (lambda models: (models / "plans.sha256").unlink(), "does not list: csrnet_a/1/model.plan"),
}


def test_recorded_plans_are_served(start: Start) -> None:
    add_plans(start)
    assert start("tensorrt-job") == "served"
    assert "model.plan" in start()


@pytest.mark.parametrize("kind", PLANS)
def test_plan_that_the_job_did_not_record_is_refused(start: Start, kind: str) -> None:
    add_plans(start)
    change, message = PLANS[kind]
    change(start.models)
    assert message in start("tensorrt-job")


# Backends


@pytest.mark.parametrize("verify", ["auto", "off"])
def test_library_in_a_bundle_is_refused_even_unverified(start: Start, verify: str) -> None:
    """Triton looks for libtriton_NAME.so beside a model whose configuration names backend NAME."""
    (start.models / "manifest.json").unlink()
    setting = {"transformer": {"settings": {"verifyBundle": verify}}}
    assert start(**setting) == "served"
    (start.folder / "libtriton_python.so").write_bytes(ELF)
    for place in ("vgg16/libtriton_evil.so", "vgg16/1/model.onnx", ".hidden/a b\nc"):
        put(place, ELF)(start.models)
        assert "has programs or libraries" in start(**setting)
        put(place, b"harmless")(start.models)
    if verify == "off":
        (start.models / "vgg16/libtriton_python.so").symlink_to("../../libtriton_python.so")
        assert "has programs or libraries" in start(**setting)


def test_library_that_a_manifest_lists_is_refused(quick: Start) -> None:
    put("vgg16/1/libtriton_evil.so", ELF)(quick.models)
    manifest = Manifest("0.2.0", "gpu", dict.fromkeys(CARDS, (1,)), bundle_files(quick.models))
    (quick.models / "manifest.json").write_bytes(manifest.to_bytes())
    assert "has programs or libraries, which no bundle has: " in quick(storage={"digest": digest(quick)})


@pytest.mark.parametrize(
    ("base", "there", "chosen"),
    [
        ("default", ("onnxruntime", "python", "tensorrt"), "onnxruntime"),
        ("cpu", ("onnxruntime", "python"), "onnxruntime"),
        ("cpu-pip", ("python",), "python"),
        ("tensorrt-job", ("onnxruntime", "python", "tensorrt"), "tensorrt"),
        ("default", ("python",), None),
        ("tensorrt-job", ("python", "onnxruntime"), None),
    ],
)
def test_device_decides_on_the_backend(quick: Start, base: str, there: tuple[str, ...], chosen: str | None) -> None:
    """The bundle does not: one of the python backend could run any program."""
    said = replace(quick, backends=there)(base)
    if chosen is None:
        assert "the image has no" in said
    else:
        assert said == "served"
        assert [each.name for each in (quick.folder / "tmp" / "backends").iterdir()] == [chosen]
