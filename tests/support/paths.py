"""Where things lie that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]

REAL_PHOTOS = ROOT.parent / "shared" / "photos"
"""Real photos, which are not handed on with the project: without them their tests are skipped."""
