"""What a program is told by its environment."""

from __future__ import annotations

from jetrun.client import Settings


def test_defaults_serve_a_local_server() -> None:
    """Without any variable, everything meets at the local server in app `default`."""
    settings = Settings.read({})

    assert (settings.url, settings.app, settings.user, settings.has_color) == (
        "nats://127.0.0.1:4222",
        "default",
        "",
        True,
    )


def test_variables_are_read() -> None:
    """Each variable reaches its field."""
    settings = Settings.read(
        {
            "JETRUN_URL": "nats://a:1",
            "JETRUN_APP": "shop",
            "JETRUN_USER": "u",
            "JETRUN_PASSWORD": "p",
            "JETRUN_TOKEN": "t",
            "JETRUN_CREDS": "/c",
            "NO_COLOR": "1",
        }
    )

    assert (settings.url, settings.app, settings.has_color) == ("nats://a:1", "shop", False)
    assert (settings.user, settings.password, settings.token, settings.creds) == ("u", "p", "t", "/c")


def test_an_empty_variable_is_none() -> None:
    """`JETRUN_URL= wfctl …` means the default, and an empty NO_COLOR colours (no-color.org)."""
    settings = Settings.read({"JETRUN_URL": "", "JETRUN_APP": "", "NO_COLOR": ""})

    assert settings == Settings()


def test_secrets_do_not_show() -> None:
    """Settings may be logged."""
    shown = repr(Settings(url="nats://ann:url-secret@a:1,b:2", user="u", password="pass-secret", token="token-secret"))

    assert "secret" not in shown
    assert "a:1,b:2" in shown
