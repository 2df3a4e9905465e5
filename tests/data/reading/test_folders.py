import os
from pathlib import Path

import pytest

from fer_bench.data.reading.folders import list_folder, refuse_leaving, refuse_missing
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


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.jpg", "a/../../b.jpg", "..\\a.jpg"])
def test_listed_names_may_not_leave(name: str) -> None:
    with pytest.raises(DataError, match="leaves the dataset root") as caught:
        refuse_leaving(name)
    assert caught.value.value == name


def test_missing_pictures_are_counted_and_the_first_is_named() -> None:
    refuse_missing([], file=Path("list.txt"), folder=Path("pictures"), dataset="x")
    with pytest.raises(
        DataError, match=r"2 listed pictures are missing from pictures, first 'b\.jpg'"
    ) as caught:
        refuse_missing(
            [(4, "b.jpg"), (9, "c.jpg")], file=Path("list.txt"), folder=Path("pictures"), dataset="x"
        )
    assert caught.value.line == 4
