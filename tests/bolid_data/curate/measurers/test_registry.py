"""Finding measurers by the names in a manifest, and the errors for names that stand for none."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from PIL import Image

from bolid_data.curate.measurers import registry
from bolid_data.curate.measurers.measurer import Photo
from bolid_data.curate.measurers.people import import_yolo
from bolid_data.errors import BolidError, UsageError

ByName = Callable[[str, Path], object]
COMMIT = "0" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache on a machine without a network."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def cached(hub: Path, name: str) -> Path:
    """The folder of a repository that was downloaded before."""
    repository = hub / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    (repository / "snapshots" / COMMIT).mkdir(parents=True)
    return repository / "snapshots" / COMMIT


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import_yolo()
    from ultralytics.nn.tasks import DetectionModel

    file = tmp_path_factory.mktemp("yolo") / "model.pt"
    network = DetectionModel("yolo11n.yaml", nc=1, verbose=False)
    torch.save({"model": network.half(), "train_args": {}}, file)
    return file


def test_embedded_measurers_are_found_by_name(tmp_path: Path) -> None:
    assert registry.pose("yolo11n-pose").model.name == "yolo11n-pose"
    assert registry.face("mtcnn", tmp_path).model.name == "mtcnn"
    assert registry.watermark("bolid-watermark", tmp_path).model.name == "bolid-watermark"


def test_a_hub_model_downloaded_before_is_used_without_a_network(hub: Path, tmp_path: Path, detector: Path) -> None:
    name = "AdamCodd/YOLOv11n-face-detection"
    shutil.copy(detector, cached(hub, name) / "model.pt")
    by_name = registry.face(name, tmp_path).model
    (tmp_path / "mine").mkdir()
    shutil.copy(detector, tmp_path / "mine" / "model.pt")
    folder = registry.face("mine", tmp_path).model
    assert by_name.name == name and by_name.sha256 == folder.sha256 and by_name.id != folder.id


def test_the_error_for_a_partial_download_names_the_missing_file(hub: Path, tmp_path: Path) -> None:
    (cached(hub, "somebody/faces") / "README.md").touch()
    with pytest.raises(UsageError, match=r"'somebody/faces' has no model\.pt"):
        registry.face("somebody/faces", tmp_path)


@pytest.mark.parametrize("kind", [registry.face, registry.watermark])
def test_the_error_for_a_missing_hub_model_says_how_to_download_it(kind: ByName, hub: Path, tmp_path: Path) -> None:
    with pytest.raises(BolidError, match="run `hf download nobody/nothing`"):
        kind("nobody/nothing", tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "instead"),
    [(registry.face, "yolo11n-pose", "mtcnn"), (registry.watermark, "mtcnn", "bolid-watermark")],
)
def test_an_embedded_model_of_another_kind_is_refused(kind: ByName, name: str, instead: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"'{name}': that model measures something else; use '{instead}'"):
        kind(name, tmp_path)


def test_an_unknown_pose_model_is_refused() -> None:
    with pytest.raises(UsageError, match="'yolo99' is not known"):
        registry.pose("yolo99")


def test_any_image_encoder_of_transformers_is_an_identity_model(tmp_path: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model, ViTImageProcessor

    config = Dinov2Config(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=28)
    Dinov2Model(config).save_pretrained(tmp_path / "dino")
    ViTImageProcessor(size={"height": 28, "width": 28}).save_pretrained(tmp_path / "dino")
    pose = registry.pose("yolo11n-pose").model
    identity = registry.identity("dino", tmp_path, "cpu", pose, lambda sha256s: dict.fromkeys(sha256s, (0, 0, 20, 30)))
    rows = identity.measure([Photo("a", Image.new("RGB", (40, 40), "red"))])
    assert [len(row["vector"]) for row in rows["embeddings"]] == [8] and pose.id in identity.model.config


def test_auto_is_a_device_of_this_machine() -> None:
    assert registry.device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert registry.device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "mps:7"])
def test_a_device_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"models.device = '{name}' is not on this machine"):
        registry.device(name)
