"""What methods that read faces have in common: where their network lies, and photos without a face."""

from pathlib import Path

import pytest
import torch

from bolid_train.data.features.batches import mean_of_photos
from bolid_train.diffusion.base import Base
from bolid_train.methods import registry
from bolid_train.settings import train_model
from tests.support.face_encoder import write_face_encoder
from tests.support.small_base import small_base

READERS = {
    "ip-adapter": {"layout": "face-id"},
    "instantid": {"identity": "face"},
    "photomaker": {"version": 2},
}


@pytest.mark.parametrize("method", READERS)
def test_the_network_is_looked_for_beside_the_manifest(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_face_encoder(tmp_path / "face.xml", 24)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    table = READERS[method] | {"face_encoder": "face.xml"}
    settings = train_model().model_validate({"method": method, method: table})
    base = Base.at("random", small_base())
    shapes = [feature.shapes(base) for feature in registry.resolve(method).make_features(settings, tmp_path)]
    assert (24,) in [shape for of_feature in shapes for shape in of_feature.values()]
    assert registry.resolve(method).make(settings, base, tmp_path)


def test_photos_without_a_face_do_not_count_in_the_mean() -> None:
    values = torch.tensor([[1.0, 3.0], [0.0, 0.0], [3.0, 5.0]])
    assert mean_of_photos(values).tolist() == [2.0, 4.0]
    assert mean_of_photos(torch.zeros(2, 3)).tolist() == [0.0, 0.0, 0.0]
