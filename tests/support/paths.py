"""Paths of the project and of the system."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = ROOT / "model_repository"
PHOTO = ROOT / "examples" / "pedestrians.jpg"
UNREADABLE = Path("/proc/self/mem")
"""A file without content that cannot be read, not even by root."""
