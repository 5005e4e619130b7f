"""An account in other words: every text that a channel may show, put through one function."""

from collections.abc import Callable
from dataclasses import replace

from responder.domain.buttons import Button
from responder.domain.notification import Notification, Picture, Question


def retold(news: Notification, say: Callable[[str], str]) -> Notification:
    """Return ``news`` with each text as ``say`` puts it; ids, revisions and the group's key stay as they are."""
    return replace(
        news,
        title=say(news.title),
        team=say(news.team),
        summary=say(news.summary),
        lines=tuple(replace(one, text=say(one.text)) for one in news.lines),
        why=say(news.why),
        by_hand=say(news.by_hand),
        facts=tuple((name, say(text)) for name, text in news.facts),
        links=tuple((say(text), say(url)) for text, url in news.links),
        entries=tuple(replace(one, text=say(one.text), body=say(one.body)) for one in news.entries),
        fallback=say(news.fallback),
        source=say(news.source),
        page=say(news.page),
        labels=None if news.labels is None else {say(name): say(value) for name, value in news.labels.items()},
        about=say(news.about),
        buttons=tuple(_button(one, say) for one in news.buttons),
        ahead=say(news.ahead),
        notes=tuple((kind, say(text)) for kind, text in news.notes),
        questions=tuple(_question(one, say) for one in news.questions),
        picture=None if news.picture is None else _picture(news.picture, say),
    )


def _picture(one: Picture, say: Callable[[str], str]) -> Picture:
    marks = tuple(replace(mark, text=say(mark.text)) for mark in one.chart.marks)
    return replace(one, chart=replace(one.chart, title=say(one.chart.title), marks=marks))


def _question(one: Question, say: Callable[[str], str]) -> Question:
    return replace(
        one,
        title=say(one.title),
        alert=say(one.alert),
        outcome=say(one.outcome),
        lines=tuple(replace(line, text=say(line.text)) for line in one.lines),
        buttons=tuple(_button(button, say) for button in one.buttons),
    )


def _button(one: Button, say: Callable[[str], str]) -> Button:
    shows = tuple(map(say, one.shows))
    return replace(one, label=say(one.label), asks=say(one.asks), shows=shows, place=say(one.place))
