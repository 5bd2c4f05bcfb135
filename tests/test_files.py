import os

import pytest

from h2g.files import file_sha256, rename_all, replacing, write_text


def test_replacing_leaves_the_old_file_when_the_block_fails(tmp_path):
    target = tmp_path / "deep" / "out.txt"

    def write(text: str, *, divisor: int) -> None:
        with replacing(target) as temporary:
            temporary.write_text(text[: len(text) // 2])
            temporary.write_text(text[: len(text) // divisor])

    write("first", divisor=1)
    with pytest.raises(ZeroDivisionError):
        write("other", divisor=0)
    assert target.read_text() == "first"
    assert [file.name for file in target.parent.iterdir()] == ["out.txt"]


def test_the_hash_of_a_file(tmp_path):
    write_text(tmp_path / "abc.txt", "abc")
    # The example of FIPS 180-2, appendix B.1.
    assert file_sha256(tmp_path / "abc.txt") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_the_last_rename_replaces_a_file(tmp_path):
    for name in ("a", "b", "card", "card.new"):
        write_text(tmp_path / name, name)
    moves = [("a", "aside/a"), ("b", "a"), ("card.new", "card")]
    rename_all([(tmp_path / source, tmp_path / target) for source, target in moves])
    assert (tmp_path / "aside" / "a").read_text() == "a"
    assert (tmp_path / "a").read_text() == "b"
    assert (tmp_path / "card").read_text() == "card.new"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("when", ["before", "after"])
def test_stopped_renames_are_undone(tmp_path, monkeypatch, stop, when):
    names = ("a", "b", "card", "card.new")
    for name in names:
        write_text(tmp_path / name, name)
    real = os.replace

    def replace(source, target):
        if source.name != "b" or when == "after":
            real(source, target)
        if source.name == "b":
            monkeypatch.setattr(os, "replace", real)
            raise stop

    monkeypatch.setattr(os, "replace", replace)
    moves = [("a", "aside/a"), ("b", "a"), ("card.new", "card")]
    with pytest.raises(stop):
        rename_all([(tmp_path / source, tmp_path / target) for source, target in moves])
    assert {name: (tmp_path / name).read_text() for name in names} == {n: n for n in names}
