"""German and Spanish are complete, and their placeholders are those of the English text."""

import gettext
import re
from pathlib import Path

import pytest
from django.conf import settings

PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}")


@pytest.mark.parametrize("language", ["de", "es"])
def test_every_text_is_translated(language: str) -> None:
    folder = Path(settings.LOCALE_PATHS[0]) / language / "LC_MESSAGES"
    source = (folder / "django.po").read_text()
    assert "fuzzy" not in source
    assert 'msgstr ""\n\n' not in source
    assert 'msgstr[1] ""' not in source


@pytest.mark.parametrize("language", ["de", "es"])
def test_the_compiled_texts_are_those_of_the_source(language: str) -> None:
    compiled = gettext.translation("django", settings.LOCALE_PATHS[0], [language])
    catalog = compiled._catalog  # type: ignore[attr-defined]
    texts = {key: value for key, value in catalog.items() if isinstance(key, str) and key}
    assert len(texts) > 500
    for english, translated in texts.items():
        assert sorted(PLACEHOLDER.findall(english)) == sorted(PLACEHOLDER.findall(translated)), english
