"""The Triton model repository on disk: rendering a profile of it, checking the committed one.

<model>/config.pbtxt                     generated
<model>/configs/cpu.pbtxt                generated, in the GPU profiles: `tritonserver --model-config-name=cpu` takes it
<model>/configs/bf16.pbtxt               generated, in the embedded profile: for processors that do bfloat16
<model>/configs/int8.pbtxt               generated, in the embedded profile: in 8 bits where the card has that
<model>/<version>/model.onnx             from the export of the network
<model>/<version>/int8.*                 the same in 8 bits, for the embedded profile alone
<model>/<version>/scene_classifier.*     beside vgg16's; Triton ignores files that it does not know
<ensemble>/config.pbtxt, <ensemble>/1/   an ensemble's version folder is empty, but must exist
"""

import difflib
import shutil
from collections.abc import Callable
from pathlib import Path

from crowdserve.cards import CARDS, ENSEMBLES
from crowdserve.cards.records import INT8_FILE, check_records
from crowdserve.errors import RepositoryError
from crowdserve.triton.config import ONNX_FILE, Profile, alternative_configs, repository_configs

CONFIG_FILE = "config.pbtxt"
BACKEND_SOURCES = tuple(sorted((Path(__file__).parent / "python_backend").glob("*.py")))
"""`model.py`, which the python backend runs, and what it imports."""

PLACEHOLDER = ".gitkeep"


def model_versions(repository: Path, model: str) -> list[int]:
    """The versions of a model in a repository, ascending."""
    folder = repository / model
    names = [entry.name for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal())


def check_eight_bits(repository: Path) -> None:
    """Check that the newest version of each network that its card has in 8 bits is there in them.

    Raises:
        RepositoryError: If it is not.
    """
    for card in CARDS.values():
        versions = model_versions(repository, card.name) if card.quantisation else []
        if versions and not (file := repository / card.name / str(versions[-1]) / INT8_FILE).is_file():
            raise RepositoryError(
                f"{file} is missing, and precision int8 needs it; make it with python -m export.{card.family} "
                f"{file.parent} --card {card.name} --format openvino-int8 --photos DATASET, or choose precision auto"
            )


def render_repository(source: Path, target: Path, profile: Profile) -> None:
    """Write a profile of the repository.

    With `target` the same folder as `source`, only the generated files of the gpu profile are written there, models
    present or not. Otherwise `target` becomes a whole repository: the embedded profile links to the files of `source`,
    the others copy them.

    Args:
        source: A repository of any profile.
        target: A new or empty folder, or `source`.
        profile: Where the models will run.

    Raises:
        RepositoryError: If a model is missing, or `target` cannot hold a repository.
    """
    if source.resolve() == target.resolve():
        if profile != "gpu":
            raise RepositoryError(f"{source} carries the gpu profile; render {profile!r} to another folder")
    else:
        _check_models(source)
        _check_target(source, target)
        _place_models(source, target, profile)
    _write_generated(target, profile)


def _write_generated(target: Path, profile: Profile) -> None:
    for path, text in _generated(profile).items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for ensemble in ENSEMBLES.values():
        version = target / ensemble.name / "1"
        version.mkdir(exist_ok=True)
        (version / PLACEHOLDER).touch()


def _generated(profile: Profile) -> dict[str, str]:
    """Content of every generated file, by its path."""
    configs = {f"{model}/{CONFIG_FILE}": text for model, text in repository_configs(profile).items()}
    return configs | alternative_configs(profile)


def _check_models(repository: Path) -> None:
    missing = [name for name in CARDS if not _has_model(repository, name)]
    if missing:
        commands = ", ".join(dict.fromkeys(f"export/{CARDS[name].family}.py" for name in missing))
        raise RepositoryError(
            f"{repository} has no <version>/{ONNX_FILE} of {', '.join(missing)}; export them with {commands}, "
            "or name another repository"
        )


def _has_model(repository: Path, model: str) -> bool:
    versions = model_versions(repository, model)
    return bool(versions) and all((repository / model / str(v) / ONNX_FILE).is_file() for v in versions)


def _check_target(source: Path, target: Path) -> None:
    if target.resolve().is_relative_to(source.resolve()):
        raise RepositoryError(f"{target} lies inside {source}, where Triton would take it for a model")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RepositoryError(f"{target} is not an empty folder; name a new one, so that no old file is served")


def _place_models(source: Path, target: Path, profile: Profile) -> None:
    place: Callable[[Path, Path], object] = _link if profile == "embedded" else shutil.copyfile
    programs = {source.name for source in BACKEND_SOURCES}
    for name in CARDS:
        for version in model_versions(source, name):
            folder = target / name / str(version)
            folder.mkdir(parents=True)
            for file in (source / name / str(version)).iterdir():
                is_int8 = file.stem == Path(INT8_FILE).stem
                if file.is_file() and file.name not in programs and (profile == "embedded" or not is_int8):
                    place(file, folder / file.name)
            if profile == "embedded":
                for program in BACKEND_SOURCES:
                    _link(program, folder / program.name)


def _link(file: Path, target: Path) -> None:
    target.symlink_to(file.resolve())


def check_repository(repository: Path) -> None:
    """Check that a gpu-profile repository holds every model, their records and exactly the generated configs.

    Raises:
        RepositoryError: If not; the message holds the difference and the command that repairs it.
    """
    _check_models(repository)
    check_records(repository, CARDS.values())
    expected = _generated("gpu")
    paths = [path for name in (CONFIG_FILE, "configs/*.pbtxt") for path in repository.glob(f"*/{name}")]
    found = {path.relative_to(repository).as_posix(): path.read_text() for path in paths}
    differences = [
        line for name in sorted(expected | found) for line in _diff(name, found.get(name, ""), expected.get(name, ""))
    ]
    if differences:
        raise RepositoryError(
            f"{repository} differs from the model cards (- found, + expected):\n" + "\n".join(differences) + "\n"
            f"run: crowdserve repository render --profile gpu --source {repository} --target {repository}, "
            "and delete the folder of a model that has no card"
        )


def _diff(name: str, found: str, expected: str) -> list[str]:
    return list(difflib.unified_diff(found.splitlines(), expected.splitlines(), name, name, n=1, lineterm=""))
