"""What channels without edits have in common: a message for each change of state, at most one each, and none beside.

Their receipt knows the last ``state`` that was answered, how many messages went before (``number``), and, from before a
message is sent until its answer is noted, the state that it tells (``trying``): nobody can tell whether that one
arrived, so whatever is told next differs from it, or is a repetition of it.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from responder.domain.buttons import Press
from responder.domain.notification import UNTOUCHED, Headline, Notification, Receipt, repeated
from responder.notifiers.text import about, cut, heading, line, notes, plain

UNDER_WAY = frozenset({Headline.FIRING, Headline.FIXING, Headline.UNDOING})
"""States that pass by themselves; after all others nobody has to wait for the next one."""
ASKING = frozenset({Headline.WAITING, Headline.OVERDUE})
"""States that say themselves that somebody is asked for a yes."""
LINE, BY_HAND, LINES = 400, 2000, 30


def state_of(news: Notification) -> str:
    """Return what a message of its own is worth: another outcome, a person who is needed, a lent change that ended.

    While a person is needed, so is a question beside that, and that something was changed behind what they were called
    for: the headline stays.
    """
    lent = f"/{news.lent_over}" if news.lent_over else ""
    return f"{news.headline.name}{_for_a_person(news) if news.page else ''}{lent}"


def _for_a_person(news: Notification) -> str:
    facts = dict(news.facts)
    changed = news.headline is Headline.NEEDS_YOU and "needs a person" in facts and facts.get("state now") != UNTOUCHED
    asks = news.headline not in ASKING and _asks(news)
    return f"!{'+' if changed else ''}{'?' if asks else ''}"


def _asks(news: Notification) -> bool:
    pressed = any(one.press is Press.APPROVE for one in news.buttons)
    return pressed or any(one.pending for one in news.questions)


@dataclass(frozen=True, slots=True)
class Step:
    """A message that is to be sent: how many went before it, and whether the same may have been read already."""

    number: int
    again: bool


def step(news: Notification, receipt: Receipt | None, *, final_only: bool = False) -> Step | None:
    """Return the message that is to be sent, None for none.

    After one whose answer was lost, the same state is the same message again, and any other is one more, be it the
    state that was told before.
    """
    known = receipt or {}
    state, told, trying = state_of(news), known.get("state"), known.get("trying")
    if final_only and not news.page and news.headline in UNDER_WAY:
        return None
    if trying is None:
        return None if state == told else Step(_number(known), again=False)
    return Step(_number(known) + (state != trying), again=state in (trying, told))


def on_the_way(news: Notification, receipt: Receipt | None, *, final_only: bool = False) -> Receipt | None:
    """Return what the receipt is to be while a message is on its way; None when there is none to send."""
    planned = step(news, receipt, final_only=final_only)
    if planned is None:
        return None
    return {"state": str((receipt or {}).get("state", "")), "number": planned.number, "trying": state_of(news)}


async def on_change(
    news: Notification,
    receipt: Receipt | None,
    post: Callable[[Notification, int], Awaitable[None]],
    *,
    final_only: bool = False,
) -> Receipt:
    """Post when the state is another one than told last; ``post`` is given the message and its number, from 0."""
    planned = step(news, receipt, final_only=final_only)
    if planned is None:
        known = receipt or {}
        kept: Receipt = {"state": str(known.get("state", "")), "number": _number(known)}
        return {**kept, "trying": known["trying"]} if "trying" in known else kept
    await post(repeated(news) if planned.again else news, planned.number)
    return {"state": state_of(news), "number": planned.number + 1}


def _number(receipt: Receipt) -> int:
    number = receipt.get("number")
    return number if isinstance(number, int) and not isinstance(number, bool) else 0


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
