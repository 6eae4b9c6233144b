"""A dataset of three people with shards and recorded consent, to publish."""

import shutil
from pathlib import Path

import pytest

from bolid_data import manifest as manifests
from bolid_data.curate.judge import judge
from bolid_data.shards.write import shard
from tests.support.measured_dataset import CAPTIONER, LENIENT, MODELS, World, jpeg

SOURCE = 'name = "mine"\n[source]\nkind = "urls"\npath = "urls.csv"\ncontact = "mailto:me@example.org"\n'
SPLITS = '[shards]\nsplits = { train = ["anna", "berta"], val = ["carl"] }\n'
CONSENT = '[consent]\nbasis = "consent"\nby = "the data protection officer"\nuntil = 2100-12-31\n'


@pytest.fixture(scope="session")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("sharded")
    world = World(home / "data")
    for number, person in enumerate(("anna", "berta", "carl")):
        for photo in range(3):
            world.photo(person, data=jpeg(10 * number + photo, 300, 400))
    catalog = world.dataset.catalog
    judge(catalog, LENIENT, MODELS)
    catalog.captions.choose_captioner(CAPTIONER, "")
    uncaptioned = catalog.captions.uncaptioned()
    catalog.captions.record_captions(CAPTIONER.id, "", {sha256: f"a photo {sha256[:4]}" for sha256 in uncaptioned})
    write_manifest(home, CONSENT)
    shard(manifests.load(home / "m.toml"), world.dataset)
    return home


@pytest.fixture
def home(sharded: Path, tmp_path: Path) -> Path:
    """A folder with `m.toml`, and the dataset in `data`."""
    return Path(shutil.copytree(sharded, tmp_path / "home"))


def write_manifest(home: Path, consent: str) -> None:
    (home / "m.toml").write_text(SOURCE + SPLITS + consent)
