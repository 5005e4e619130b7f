"""Answers go to Slack's hosts and to nobody else."""

import pytest

from responder.clients.slack_replies import is_slacks

USUAL = "https://slack.com/api/"


@pytest.mark.parametrize(
    ("url", "api", "is_theirs"),
    [
        ("https://hooks.slack.com/actions/T0/1/x", USUAL, True),
        ("https://hooks.slack.com:443/actions/T0/1/x", USUAL, True),
        ("https://HOOKS.slack.com/actions/T0/1/x", USUAL, True),
        ("https://slack.com/api/x", USUAL, True),
        ("https://hooks.slack-gov.com/actions/x", "https://slack-gov.com/api/", True),
        ("http://127.0.0.1:8080/actions/x", "http://127.0.0.1:8080/api/", True),
        ("http://127.0.0.1:8081/actions/x", "http://127.0.0.1:8080/api/", False),
        ("https://127.0.0.1:8080/actions/x", "http://127.0.0.1:8080/api/", False),
        ("http://hooks.slack.com/actions/x", USUAL, False),
        ("https://hooks.slack.com:8443/x", USUAL, False),
        ("https://hooks.slack.com.evil.example/x", USUAL, False),
        ("https://evil.example/hooks.slack.com", USUAL, False),
        ("https://hooks.slack.com@evil.example/x", USUAL, False),
        ("https://user@hooks.slack.com/x", USUAL, False),
        ("https://evil.example\\@hooks.slack.com/x", USUAL, False),
        ("https://hooks.slack.com\n.evil.example/x", USUAL, False),
        ("//hooks.slack.com/x", USUAL, False),
        ("file:///etc/passwd", USUAL, False),
        ("https://hooks.slack.com:no/x", USUAL, False),
        ("https://[::1/x", USUAL, False),
        ("http://169.254.169.254/latest/meta-data", USUAL, False),
        ("", "", False),
        ("https:///x", "", False),
    ],
)
def test_only_slacks_own_addresses_are_answered(url: str, api: str, is_theirs: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_slacks(url, api) is is_theirs
