"""Two names that give one slug are never taken for one person silently, whatever the source."""

from pathlib import Path

import pytest
from aiohttp import web

from bolid_data import manifest as manifests
from bolid_data.collect.run import scrape
from bolid_data.dataset import Dataset
from bolid_data.errors import BolidError, UsageError
from tests.bolid_data.collect.sources.test_gallery_site import rows
from tests.bolid_data.collect.test_hostile import fetch, write_csv
from tests.support.gallery_site import Site, page, photo, serve

ZHANG_WEI, ZHANG_WEI_2 = "张伟", "章薇"


def test_a_list_of_two_names_with_one_slug_is_refused(tmp_path: Path) -> None:
    with serve(Site({"a": [photo(1), photo(2)]})) as site:
        urls = [f"{site.base_url}/archive/a/img/{number}.jpg" for number in range(2)]
        write_csv(tmp_path / "list.csv", list(zip((ZHANG_WEI, ZHANG_WEI_2), urls, strict=True)))
        with pytest.raises(UsageError, match=f"'{ZHANG_WEI}' and '{ZHANG_WEI_2}' are both 'zhangwei' once normalised"):
            fetch(tmp_path)
        assert site.requests == [], "before anything is asked for"
        write_csv(tmp_path / "list.csv", [(ZHANG_WEI, urls[0])])
        fetch(tmp_path)
        write_csv(tmp_path / "list.csv", [(ZHANG_WEI_2, urls[1])])
        with pytest.raises(UsageError, match="are both 'zhangwei'"):
            fetch(tmp_path)
    assert rows(tmp_path, "SELECT person, name FROM people") == [("zhangwei", ZHANG_WEI)]


def test_spellings_of_one_name_are_one_person_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(Site({"a": [photo(1), photo(2)]})) as site:
        urls = [f"{site.base_url}/archive/a/img/{number}.jpg" for number in range(2)]
        write_csv(tmp_path / "list.csv", list(zip(("José", "jose"), urls, strict=True)))
        assert fetch(tmp_path)["people"] == 1
    assert "'José' and 'jose' are treated as one person, 'jose'" in capsys.readouterr().err


def test_a_folder_of_another_person_with_the_slug_of_one_in_the_catalog_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('name = "x"\n[source]\nkind = "folder"\npath = "photos"\n')
    (tmp_path / "photos" / ZHANG_WEI).mkdir(parents=True)
    (tmp_path / "photos" / ZHANG_WEI / "1.jpg").write_bytes(photo(1))
    loaded, dataset = manifests.load(tmp_path / "m.toml"), Dataset(tmp_path / "data")
    scrape(loaded, dataset)
    (tmp_path / "photos" / ZHANG_WEI).rename(tmp_path / "photos" / ZHANG_WEI_2)
    with pytest.raises(UsageError, match="are both 'zhangwei'"):
        scrape(loaded, dataset)
    (tmp_path / "photos" / ZHANG_WEI_2).rename(tmp_path / "photos" / "zhangwei")  # the slug itself means that person
    scrape(loaded, dataset)


def test_a_site_with_two_people_of_one_slug_has_one_of_them_and_an_error(tmp_path: Path) -> None:
    async def people(request: web.Request) -> web.StreamResponse:
        links = "".join(f'<a href="/photos/{name}/">{name}</a>' for name in (ZHANG_WEI, ZHANG_WEI_2, "anna"))
        return page(f'<div class="models_list row my-5">{links}</div>')

    async def person(request: web.Request) -> web.StreamResponse:
        return page('<h1 class="my-3">Zhang</h1><div class="row gx-1 justify-content-center">'
                    '<a href="/photos/anna/pic/0">photo</a></div>')  # fmt: skip

    site = Site({"anna": [photo(1)]})
    site.faults = {"/photos/letter-a/": people}
    site.faults |= {f"/photos/{quoted}/": person for quoted in ("%E5%BC%A0%E4%BC%9F", "%E7%AB%A0%E8%96%87")}
    with serve(site):
        source = f'kind = "theplace"\nbase_url = "{site.base_url}"\nmin_photos = 1\ndelay = 0.0\n'
        (tmp_path / "m.toml").write_text(f'name = "x"\n[source]\n{source}')
        for _ in range(2):
            with pytest.raises(BolidError, match=r"its slug 'zhangwei' is taken by .*people are not merged"):
                scrape(manifests.load(tmp_path / "m.toml"), Dataset(tmp_path / "data"))
        assert not site.sent("/photos/%E7%AB%A0")
    assert rows(tmp_path, "SELECT person FROM people ORDER BY ALL") == [("anna",), ("zhangwei",)]
