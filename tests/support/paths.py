"""Where the project is."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = ROOT / "model_repository"
PHOTO = ROOT / "examples" / "pedestrians.jpg"
