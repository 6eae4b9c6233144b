"""`[train]` with the tables of methods: every key is checked with its line, and old manifests still work."""

import subprocess
import sys
from pathlib import Path

import pytest

from bolid_data import manifest
from bolid_data.errors import UsageError
from bolid_train.methods import registry
from bolid_train.settings import checked, load, train_model

HEAD = 'name = "x"\n[source]\nkind = "folder"\npath = "photos"\n'


def _write(folder: Path, text: str) -> Path:
    file = folder / "m.toml"
    file.write_text(HEAD + text)
    return file


def test_every_key_of_a_methods_table_is_checked_with_its_line(tmp_path: Path) -> None:
    file = _write(
        tmp_path,
        '[train]\nmethod = "bolid"\n[train.bolid]\nbody_dim = 4\nbody_dims = 8\n[train.ip-adapter]\nabsent = "no"\n'
        "[train.bolidd]\nkl = 1.0\n",
    )
    with pytest.raises(UsageError) as error:
        load(file)
    lines = str(error.value).splitlines()
    assert [line.split(": ")[0].rsplit(":")[-1] for line in lines] == ["8", "9", "11", "12"]
    assert "train.bolid.body_dim: Input should be greater than or equal to 8 (it is 4)" in lines[0]
    assert "train.bolid.body_dims: no such key" in lines[1]
    assert "train.ip-adapter.absent: Input should be 'zero_tokens' or 'projected_zeros'" in lines[2]
    assert "train.bolidd: no such key" in lines[3]


def test_keys_that_have_moved_still_work_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = load(_write(tmp_path, "[train]\nbody_dim = 64\nrank = 4\n[train.objective]\nkl = 0.5\nidentity = 1.0\n"))
    said = capsys.readouterr().err
    for move in ("body_dim (now bolid.body_dim)", "objective.kl (now bolid.kl)", "rank (now lora.rank)"):
        assert move in said
    new = load(
        _write(
            tmp_path,
            "[train.bolid]\nbody_dim = 64\nkl = 0.5\n[train.lora]\nrank = 4\n[train.objective]\nidentity = 1.0\n",
        )
    )
    assert old == new and not capsys.readouterr().err


def test_references_are_padded_unless_a_branch_starts_from_a_published_ip_adapter(tmp_path: Path) -> None:
    def fit(text: str) -> str | None:
        return load(_write(tmp_path, text)).train.reference_fit

    published = '[train.{0}]\nref_from = "x.bin"\n'
    assert fit("[train]\n") == "pad"
    assert fit(published.format("bolid")) == "crop"
    assert fit('[train]\nmethod = "ip-adapter"\n' + published.format("ip-adapter")) == "crop"
    assert fit('[train]\nmethod = "ip-adapter"\n' + published.format("bolid")) == "pad", "another method's"
    assert fit('[train]\nreference_fit = "pad"\n' + published.format("bolid")) == "pad", "asked for"


def test_a_mistake_at_an_old_place_is_named_there(tmp_path: Path) -> None:
    file = _write(tmp_path, "[train]\nbatch_size = 2\nbody_dim = 4\n[train.objective]\nkl = -1.0\n")
    with pytest.raises(UsageError) as error:
        load(file)
    assert str(error.value).splitlines() == [
        f"{file}:7: train.body_dim: Input should be greater than or equal to 8 (it is 4)",
        f"{file}:9: train.objective.kl: Input should be greater than or equal to 0 (it is -1.0)",
    ]


def test_a_key_at_both_places_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"body_dim is also given as bolid\.body_dim; keep the latter"):
        load(_write(tmp_path, "[train]\nbody_dim = 64\n[train.bolid]\nbody_dim = 32\n"))


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train\.bolid: Input should be a valid dictionary"):
        load(_write(tmp_path, "[train]\nbody_dim = 64\nbolid = 3\n"))


def test_settings_that_were_read_without_the_tables_are_checked_before_training(tmp_path: Path) -> None:
    read = manifest.load(_write(tmp_path, "[train]\nrank = 8\n[train.bolid]\nbody_dim = 64\n"))
    assert checked(read.train) == load(tmp_path / "m.toml").train
    read = manifest.load(_write(tmp_path, "[train.bolid]\nbody_dim = 4\n"))
    with pytest.raises(UsageError, match=r"\[train\] bolid\.body_dim: Input should be greater than or equal to 8"):
        checked(read.train)


def test_reading_a_manifest_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bolid_train.settings import load; "
        f"load(Path({str(_write(tmp_path, ''))!r})); print('torch' in sys.modules, 'diffusers' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["False", "False"]


@pytest.mark.parametrize("spec", registry.specs(), ids=lambda spec: spec.name)
def test_settings_of_a_method_survive_being_written_down(spec: registry.MethodSpec) -> None:
    settings = train_model()(method=spec.name)
    assert train_model().model_validate(settings.model_dump(mode="json")) == settings
    assert spec.settings.of(settings) == spec.settings()


MANIFESTS = Path(__file__).parents[2] / "manifests"


def test_the_second_run_on_sdxl_can_start_from_the_first() -> None:
    first, second = load(MANIFESTS / "sdxl.toml"), load(MANIFESTS / "sdxl-identity.toml")
    assert (first.source, first.train.method) == (second.source, second.train.start)
    continued = registry.resolve("bolid").continued(second.train, first.train)
    assert continued.reference_fit == first.train.reference_fit == "crop", "the IP-Adapter's"
    for key in ("base", "image_encoder", "resolution", "buckets", "view_resolution", "view_fit"):
        assert getattr(first.train, key) == getattr(second.train, key)
    assert not first.train.objective.needs_images and second.train.objective.pictures == "lightning"
