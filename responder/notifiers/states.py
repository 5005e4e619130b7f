"""What channels without edits have in common: a message for each change of state, at most one each, and none beside."""

from collections.abc import Awaitable, Callable, Iterator

from responder.domain.notification import Headline, Notification, Receipt
from responder.notifiers.text import about, cut, heading, line, notes, plain

UNDER_WAY = frozenset({Headline.FIRING, Headline.FIXING, Headline.UNDOING})
"""States that pass by themselves; after all others nobody has to wait for the next one."""
LINE, BY_HAND, LINES = 400, 2000, 30


def state_of(news: Notification) -> str:
    """Return what a message of its own is worth: another outcome, or a person who is needed now."""
    return f"{news.headline.name}{'!' if news.page else ''}"


async def on_change(
    news: Notification,
    receipt: Receipt | None,
    post: Callable[[int], Awaitable[None]],
    *,
    final_only: bool = False,
) -> Receipt:
    """Post when the state is another one than told last; ``post`` is given the number of the message, from 0."""
    told = str((receipt or {}).get("state", ""))
    number = (receipt or {}).get("number")
    count = number if isinstance(number, int) and not isinstance(number, bool) else 0
    state = state_of(news)
    quiet = final_only and not news.page and news.headline in UNDER_WAY
    if told == state or quiet:
        return {"state": told, "number": count}
    await post(count)
    return {"state": state, "number": count + 1}


def head(news: Notification) -> str:
    """Return the outcome and what it is about in a line: ``🟢 Fixed in 3m12s · CheckoutErrorsHigh · shop/api``."""
    return f"{heading(news)} · {line(news.title, LINE)}"


def body(news: Notification) -> Iterator[str]:
    """Return the account in lines of plain text, the most urgent first; links are not among them."""
    yield about(news)
    if news.summary:
        yield line(news.summary, LINE)
    for one in news.lines[:LINES]:
        yield line(f"{one.symbol} {one.text}", LINE)
    if len(news.lines) > LINES:
        yield f"… {len(news.lines) - LINES} more"
    if news.why:
        yield f"Why: {line(news.why, LINE)}"
    if news.ahead:
        yield f"Next: {line(news.ahead, LINE)}"
    if news.by_hand:
        yield f"By hand: {cut(plain(news.by_hand).strip(), BY_HAND)}"
    for note in notes(news)[:LINES]:
        yield line(note, LINE)
    facts = dict(news.facts)
    for name in ("meaning", "impact"):
        if facts.get(name):
            yield f"{name.capitalize()}: {line(facts[name], LINE)}"


def links(news: Notification, most: int = 5, longest: int = 2000) -> list[tuple[str, str]]:
    """Return the links that can be shown."""
    return [(line(text, 40), url) for text, url in news.links if len(url) <= longest and url.isprintable()][:most]
