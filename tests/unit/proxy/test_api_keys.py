"""API keys as they are read from the environment and from a file."""

from pathlib import Path

import pytest

from proxy.settings import InvalidSettings, Settings, read_settings

KEY, OTHER = "kq9-Zx_~secret+/=", "another.key"


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def found(settings: Settings) -> list[str]:
    return [key.get_secret_value() for key in settings.api_keys + settings.api_keys_file]


def test_without_any_the_service_is_open() -> None:
    assert found(read_settings()) == []


def test_several_from_the_variable_and_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text("third\n\n  fourth\r\n")
    monkeypatch.setenv("API_KEYS", f"{KEY}, {OTHER}")
    monkeypatch.setenv("API_KEYS_FILE", str(tmp_path / "keys"))
    settings = read_settings()
    assert found(settings) == [KEY, OTHER, "third", "fourth"]
    assert KEY not in repr(settings)
    assert "third" not in str(settings.model_dump())


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (" ", "empty"),
        (f"{KEY},,{OTHER}", "empty"),
        (f"{KEY},", "empty"),
        (f"{KEY},two words", "visible ASCII"),
        (f"{KEY},비밀", "visible ASCII"),
        (f"{KEY}\x7f", "visible ASCII"),
    ],
)
def test_a_bad_one_is_told_and_not_repeated(value: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", value)
    with pytest.raises(InvalidSettings, match=told) as raised:
        read_settings()
    sentence = str(raised.value)
    assert sentence.startswith("API_KEYS is set: it should ")
    for key in (KEY, OTHER, "two words", "비밀"):
        assert key not in sentence


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "can be read (No such file or directory)"),
        (b"", "at least one key"),
        (b"\n \n", "at least one key"),
        (b"two words\n", "visible ASCII"),
        (b"a,b\n", "without spaces and commas"),
        ("비밀".encode(), "visible ASCII"),
    ],
)
def test_a_bad_file_is_named(content: bytes | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("API_KEYS_FILE", str(path))
    with pytest.raises(InvalidSettings) as raised:
        read_settings()
    assert str(raised.value).startswith(f"API_KEYS_FILE is '{path}': it should ")
    assert told in str(raised.value)
    assert "two words" not in str(raised.value)


def test_a_folder_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS_FILE", str(tmp_path))
    with pytest.raises(InvalidSettings, match="Is a directory"):
        read_settings()
