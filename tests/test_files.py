import pytest

from h2g.files import file_sha256, replacing, write_text


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
