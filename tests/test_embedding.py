"""Which sites may embed the app is a setting; one that cannot be used is refused."""

from __future__ import annotations

import pytest

from pages.shared import server
from pages.shared.embedding import SETTING, frame_ancestors
from saliency_core.errors import ArgumentError


def test_without_the_setting_only_the_apps_own_server_may_embed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, " ")
    assert "frame-ancestors 'self'" in server.content_security_policy("").split("; ")
    monkeypatch.delenv(SETTING)
    assert "frame-ancestors 'self'" in server.content_security_policy("").split("; ")


@pytest.mark.parametrize(
    "sources",
    [
        "'none'",
        "*",
        "'self' https://lectures.example.org https://*.example.org:8443",
        "https: localhost:3000",
    ],
)
def test_the_policy_names_the_sites_of_the_setting(monkeypatch: pytest.MonkeyPatch, sources: str) -> None:
    monkeypatch.setenv(SETTING, f" {sources.replace(' ', '  ')} ")
    assert frame_ancestors() == sources
    assert f"frame-ancestors {sources}" in server.content_security_policy("").split("; ")


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ("self", "self"),
        ("'none' https://a.example", "'none'"),
        ("https://a.example/course", "https://a.example/course"),
        ("https://a.example; script-src *", "https://a.example;"),
        ("https://a.example, https://b.example", "https://a.example,"),
        ("ftp://a.example", "ftp://a.example"),
        ("a.example\r\nx-header:1\u00e9", "x-header:1\u00e9"),
    ],
)
def test_a_setting_that_is_no_list_of_sites_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, given: str, wrong: str
) -> None:
    monkeypatch.setenv(SETTING, given)
    with pytest.raises(ArgumentError) as error:
        frame_ancestors()
    assert f"“{wrong}” is no site that can be allowed to embed the app" in str(error.value)
