"""Models of a hub: HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and revisions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hub import Hub, commit, serve
from tests.support.paths import ROOT

NAME = "somebody/model"
MODELS = {NAME: {"main": {"config.json": b'{"now": 1}'}, "v1": {"config.json": b'{"then": 1}'}}}


def find(name: str, home: Path, hub: Hub, **environment: str) -> subprocess.CompletedProcess[str]:
    """`weights.folder` in a process of its own, because the hub's library reads its environment when imported."""
    program = f"from bolid_data import weights; print(weights.folder({name!r}))"
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    settings = {"PYTHONPATH": str(ROOT), "HF_HOME": str(home), "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-c", program], env=clean | settings | environment, capture_output=True, text=True, timeout=120
    )


def test_a_revision_is_pinned_and_the_cache_is_in_hf_home(tmp_path: Path) -> None:
    with serve(Hub(MODELS)) as hub:
        found = find(f"{NAME}@v1", tmp_path / "home", hub)
        assert found.returncode == 0, found.stderr
        folder = Path(found.stdout.strip())
        assert folder == tmp_path / "home" / "hub" / "models--somebody--model" / "snapshots" / commit("v1")
        assert (folder / "config.json").read_bytes() == b'{"then": 1}'
        latest = Path(find(NAME, tmp_path / "home", hub).stdout.strip())
        assert (latest / "config.json").read_bytes() == b'{"now": 1}'
        asked = len(hub.requests)
        assert find(f"{NAME}@v1", tmp_path / "home", hub, HF_HUB_OFFLINE="1").stdout.strip() == str(folder)
        assert find(f"{NAME}@{commit('v1')}", tmp_path / "home", hub).stdout.strip() == str(folder)
        assert len(hub.requests) == asked, "what is in the cache is not asked for again"


def test_the_token_is_sent_and_never_shown(tmp_path: Path) -> None:
    with serve(Hub(MODELS, gated={NAME: "hf_secret"})) as hub:
        refused = find(NAME, tmp_path, hub, HF_TOKEN="hf_wrong")
        assert "it is gated: accept its terms on its page, and set HF_TOKEN" in refused.stderr
        assert "hf_wrong" not in refused.stderr
        found = find(NAME, tmp_path, hub, HF_TOKEN="hf_secret")
        assert found.returncode == 0, found.stderr
        assert hub.requests[-1][1] == "Bearer hf_secret"


@pytest.mark.parametrize(
    ("name", "offline", "why", "command"),
    [
        (f"{NAME}@v2", "0", "it has no such revision", f"hf download {NAME} --revision v2"),
        ("nobody/model", "0", "the hub has no such model, or HF_TOKEN does not allow it", "hf download nobody/model"),
        (f"{NAME}@v1", "1", "HF_HUB_OFFLINE is set", f"hf download {NAME} --revision v1"),
    ],
)
def test_what_cannot_be_had_says_why(name: str, offline: str, why: str, command: str, tmp_path: Path) -> None:
    with serve(Hub(MODELS)) as hub:
        assert f"({why}); run `{command}`" in find(name, tmp_path, hub, HF_HUB_OFFLINE=offline).stderr
