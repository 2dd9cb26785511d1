"""The recipe search's settings: the table of its README has them all, and a bad value is told."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

import examples.recipe_search
from examples.recipe_search.settings import Settings

README = (Path(examples.recipe_search.__file__).parent / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_in_the_readme_as_the_code_has_it() -> None:
    expected = []
    for name, field in Settings.model_fields.items():
        value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else str(field.default)
        value = value.rstrip("/").removesuffix(".0")
        expected.append(f"| `{name.upper()}` | {f'`{value}`' if value else ''} | {field.description} |")
    lines = README.splitlines()
    start = lines.index("| setting | default | what it does |") + 2
    assert lines[start : start + len(expected)] == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("ML_TIMEOUT", "0"), ("ML_TIMEOUT", "inf"), ("ML_RETRIES", "-1"), ("ML_INFERENCE_URL", "ml:8001")],
)
def test_a_bad_value_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_an_empty_value_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_RETRIES", "")
    assert Settings().ml_retries == 2


def test_the_password_of_the_database_is_not_shown() -> None:
    assert "geheim" not in repr(Settings(database_url=SecretStr("postgresql://shop:geheim@db/recipes")))
