"""The committed vectors are what the code gives. The other tests here check the same files without the code's help."""

import pytest

from tests.vectors import generate

DOCUMENTS = generate.documents()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_committed_vectors_are_what_the_code_gives(name: str) -> None:
    assert (generate.FOLDER / name).read_text(encoding="ascii") == generate.render(DOCUMENTS[name])


def test_no_vector_file_is_left_behind() -> None:
    assert {path.name for path in generate.FOLDER.glob("*.json")} == set(DOCUMENTS)
