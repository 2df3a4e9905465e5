import os
from pathlib import Path

import pytest

from fer_bench.data.reading.folders import list_folder, listed_path
from fer_bench.data.reading.links import following
from fer_bench.data.reading.sequences import subfolders
from fer_bench.errors import DataError


def test_listing_tells_files_folders_and_hidden_names_apart(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.jpg").touch()
    (tmp_path / ".DS_Store").touch()
    listing = list_folder(tmp_path, tmp_path)
    assert (listing.files, listing.folders) == ({"a.jpg"}, {"sub"})
    assert listing.has("a.jpg", file=tmp_path)
    assert not listing.has("sub", file=tmp_path)
    assert listing.has_folder("sub", file=tmp_path)


def test_symlinks_may_stay_inside_and_may_not_leave(tmp_path: Path) -> None:
    base, outside = tmp_path / "base", tmp_path / "outside.jpg"
    (base / "store").mkdir(parents=True)
    (base / "store" / "real.jpg").touch()
    outside.touch()
    pictures = base / "pictures"
    pictures.mkdir()
    (pictures / "in.jpg").symlink_to(base / "store" / "real.jpg")
    (pictures / "out.jpg").symlink_to(outside)
    (pictures / "broken.jpg").symlink_to(base / "store" / "gone.jpg")
    listing = list_folder(pictures, base)
    assert listing.files == {"in.jpg"}
    with pytest.raises(DataError, match="leaves the dataset root") as caught:
        listing.has("out.jpg", file=base / "list.txt", line=7)
    assert (caught.value.file, caught.value.line, caught.value.value) == (base / "list.txt", 7, "out.jpg")


def test_a_folder_that_is_a_link_out_of_the_base_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "pictures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="leaves the dataset root"):
        list_folder(tmp_path / "base" / "pictures", tmp_path / "base")


def test_the_base_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real" / "pictures").mkdir(parents=True)
    (tmp_path / "real" / "pictures" / "a.jpg").touch()
    (tmp_path / "base").symlink_to(tmp_path / "real")
    assert list_folder(tmp_path / "base" / "pictures", tmp_path / "base").files == {"a.jpg"}


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.jpg")).touch()
    except OSError:
        pytest.skip("this file system keeps names as text")
    with pytest.raises(DataError, match="UTF-8"):
        list_folder(tmp_path, tmp_path)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../a.jpg", "a/../../b.jpg", "..\\a.jpg", "C:\\a.jpg", "\\\\server\\a.jpg"]
)
def test_listed_names_may_not_leave(name: str) -> None:
    with pytest.raises(DataError, match="leaves the dataset root") as caught:
        listed_path(name)
    assert caught.value.value == name


@pytest.mark.parametrize("name", ["689/a.jpg", "689\\a.jpg", ".\\689\\a.jpg", "./689/a.jpg"])
def test_backslashes_in_lists_are_separators(name: str) -> None:
    assert listed_path(name) == "689/a.jpg"


def test_the_error_says_where_a_link_leads_and_how_to_allow_it(tmp_path: Path) -> None:
    base, other = tmp_path / "base", tmp_path / "disk"
    for folder in (base, other / "pictures"):
        folder.mkdir(parents=True)
    (other / "pictures" / "a.jpg").touch()
    (base / "pictures").symlink_to(other / "pictures")
    (base / "b.jpg").symlink_to(tmp_path / "unmounted" / "b.jpg")
    with pytest.raises(DataError, match=f"{base / 'pictures'} is a link to {other / 'pictures'}") as caught:
        list_folder(base / "pictures", base)
    assert "--follow-links" in str(caught.value)
    with pytest.raises(DataError, match="which does not exist") as caught:
        list_folder(base, base).has("b.jpg")
    assert "git annex get" in str(caught.value)
    with following(True):
        assert list_folder(base / "pictures", base).has("a.jpg")
        listing = list_folder(base, base)
    assert (listing.folders, listing.dangling) == ({"pictures"}, {"b.jpg"})


def test_a_listed_picture_is_found_whatever_its_ending(tmp_path: Path) -> None:
    for name in ("a.JPG", "b.jpeg", "c.PNG", "c.txt", "d.png", "d.JPEG", "e.txt"):
        (tmp_path / name).touch()
    listing = list_folder(tmp_path, tmp_path)
    found = {name: listing.picture(f"{name}.jpg") for name in "abcdef"}
    assert found == {"a": "a.JPG", "b": "b.jpeg", "c": "c.PNG", "d": "d.JPEG", "e": None, "f": None}


@pytest.mark.parametrize(
    "name", ["__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini", ".DS_Store", "lost+found"]
)
def test_what_systems_leave_behind_is_in_no_listing(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.png").touch()
    for place in (tmp_path / name, tmp_path / "folder" / name):
        place.mkdir()
    listing = list_folder(tmp_path, tmp_path)
    assert (listing.files, listing.folders) == ({"a.png"}, {"folder"})
    assert [folder.name for folder in subfolders(tmp_path)] == ["folder"]
    assert not list_folder(tmp_path / "folder", tmp_path).folders


def test_links_that_lead_nowhere_are_listed(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to("annexed/1234")
    listing = list_folder(tmp_path, tmp_path)
    assert (listing.dangling, listing.files, listing.leaving) == ({"gone.png"}, frozenset(), frozenset())
