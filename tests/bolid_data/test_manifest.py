from pathlib import Path

import pytest

from bolid_data import manifest
from bolid_data.errors import ManifestError, UsageError
from bolid_train import settings

MINIMAL = 'name = "mine"\n[source]\nkind = "folder"\npath = "photos"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "m.toml"
    path.write_text(text)
    return path


def test_a_minimal_manifest_is_complete(tmp_path: Path) -> None:
    loaded = manifest.load(write(tmp_path, MINIMAL))
    assert (loaded.name, loaded.filter.min_width, loaded.models.pose) == ("mine", 1000, "yolo11n-pose")
    assert loaded.shards.max_size == 300_000_000
    assert loaded.folder == tmp_path


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (MINIMAL, 0.8),
        (MINIMAL + "[filter]\npeople = 1\n", 0.8),
        (MINIMAL + "[filter]\nmax_watermark = 0.5\n", 0.5),
        ('name = "mine"\n[source]\nkind = "theplace"\n', 0.5),
    ],
)
def test_photos_of_a_folder_need_a_more_certain_watermark(tmp_path: Path, text: str, limit: float) -> None:
    assert manifest.load(write(tmp_path, text)).filter.max_watermark == limit


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (MINIMAL + "[filter]\nmin_widht = 5\n", ":6: filter.min_widht: no such key"),
        (MINIMAL + '[filter]\npeople = 1\nmin_width = "wide"\n', ":7: filter.min_width: "),
        (MINIMAL + "[filter]\nmin_confidence = 1.5\n", ":6: filter.min_confidence: "),
        (MINIMAL + "delay = 1.0\n", ":5: source.delay: no such key for kind 'folder'"),
        ('name = "Mine"\n[source]\nkind = "folder"\npath = "x"\n', ":1: name: "),
        ('name = "mine"\n[source]\nkind = "ftp"\n', ":3: source.kind: must be one of theplace, folder, urls"),
        ('name = "mine"\n[source]\npath = "x"\n', ":2: source.kind: must be one of theplace, folder, urls"),
        ('name = "mine"\n[source]\nkind = "folder"\n', ":2: source.path: "),
        ('name = "mine"\n', "[source] with a kind is missing"),
        (MINIMAL + "[shards]\nsplits = { train = 0.5, val = 0.2 }\n", ":6: shards.splits: shares"),
        (MINIMAL + "[shards]\nsplits = { train = ['a'], val = ['a'] }\n", ":6: shards.splits: a person"),
        (MINIMAL + "[shards]\nmax_size = 'huge'\n", ":6: shards.max_size: "),
        ("path = 'x'\n" + MINIMAL, ":1: path: no such key"),
        ("name = \n", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, where: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as error:
        manifest.load(path)
    assert str(error.value).startswith(f"{path}:")
    assert where in str(error.value)


def test_all_mistakes_are_named_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'name = "Mine"\n[source]\nkind = "folder"\nfolder = "photos"\n'
        "[filter]\npeople = 0\nmin_widht = 5\n[shards]\nsplits = { train = 'all' }\n[training]\nsteps = 3\n",
    )
    with pytest.raises(ManifestError) as error:
        manifest.load(path)
    assert [mistake.split(": ")[:2] for mistake in error.value.mistakes] == [
        [f"{path}:1", "name"],
        [f"{path}:2", "source.path"],
        [f"{path}:4", "source.folder"],
        [f"{path}:6", "filter.people"],
        [f"{path}:7", "filter.min_widht"],
        [f"{path}:9", "shards.splits.train"],
        [f"{path}:10", "training"],
    ]


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("[filter]\nmin_widht = 5\n", "min_width"),
        ("[filters]\n", "filter"),
        ("max_peopel = 3\n", "max_people"),
        ("[train]\nbatchsize = 3\n", "batch_size"),
        ("[train.bolid]\nbody_dims = 3\n", "body_dim"),
        ("[train.objective]\nclip_txt = 3\n", "clip_text"),
    ],
)
def test_a_misspelt_key_names_the_nearest(text: str, nearest: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=f"no such key.*; did you mean {nearest}\\?"):
        settings.load(write(tmp_path, MINIMAL + text))


def test_a_mistake_of_an_option_blames_the_option(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + "[filter]\npeople = 0\n")
    with pytest.raises(ManifestError) as error:
        manifest.load(path, {"delay": 1.0, "max_people": 0})
    assert error.value.mistakes == [
        "--max-people: Input should be greater than or equal to 1 (it is 0)",
        "--delay: no such setting for kind 'folder'",
        f"{path}:6: filter.people: Input should be greater than or equal to 1 (it is 0)",
    ]


def test_a_missing_or_unreadable_manifest_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such manifest"):
        manifest.load(tmp_path / "none.toml")
    (tmp_path / "m.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        manifest.load(tmp_path / "m.toml")


def test_flags_override_the_source_and_are_checked(tmp_path: Path) -> None:
    path = write(tmp_path, 'name = "mine"\n[source]\nkind = "theplace"\n')
    assert manifest.load(path, {"max_people": 3}).source.max_people == 3
    with pytest.raises(UsageError, match="--max-people: Input should be greater"):
        manifest.load(path, {"max_people": 0})


@pytest.mark.parametrize("path", sorted(Path("manifests").glob("*.toml")), ids=lambda path: path.name)
def test_the_manifests_we_ship_are_valid(path: Path) -> None:
    assert manifest.load(path).name == path.stem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[shards]\nsplits = { train = nan }", "shards.splits.train: Input should be a finite number"),
        ("[shards]\nsplits = { train = 0.5, val = nan }", "finite number"),
        ("[filter]\nmin_aspect = inf", "filter.min_aspect: Input should be a finite number"),
        ("x = " + "[" * 10_000 + "]" * 10_000, "not valid TOML"),
        ("x" + ".x" * 100_000 + " = 1", "a key of more than 50 parts"),
        ("[x" + ".x" * 100_000 + "]", "a key of more than 50 parts"),
        ("x = " + "9" * 10_000, "not valid TOML"),
        ("[shards]\nsplits = { train = " + "[" * 90 + "]" * 90 + " }", "shards.splits.train"),
    ],
    ids=["nan", "another nan", "inf", "deep list", "deep key", "deep table", "long number", "deep value"],
)
def test_numbers_that_are_none_and_depth_are_one_clear_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(f'name = "x"\n[source]\nkind = "folder"\npath = "p"\n{text}\n')
    with pytest.raises(UsageError, match=message) as error:
        manifest.load(tmp_path / "m.toml")
    assert len(str(error.value)) < 500
