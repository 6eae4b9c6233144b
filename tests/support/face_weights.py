"""The weights of `dlib-face`, which are set up apart: without them their tests are skipped."""

from importlib.util import find_spec

import pytest

from bolid_data import dlib_weights
from bolid_data.errors import BolidError
from tests.support.paths import REAL_PHOTOS


def _missing() -> str:
    try:
        dlib_weights.find()
    except BolidError as error:
        return str(error)
    return "" if find_spec("dlib") else "dlib is not installed"


needs_face_weights = pytest.mark.skipif(bool(_missing()), reason=_missing())
needs_real_photos = pytest.mark.skipif(not REAL_PHOTOS.is_dir(), reason="no real photos at ../shared/photos")
