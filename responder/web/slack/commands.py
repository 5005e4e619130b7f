"""``/responder status | pause | resume | explain``: as on the command line, in words that fit a chat."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping

from responder.domain.brakes import is_scope
from responder.domain.notification import Notification
from responder.settings import SlackUser
from responder.tell.compose import compose
from responder.tell.veil import veiled, without_labels
from responder.web import asks
from responder.web.api import Row, brakes, rows
from responder.web.auth import Caller
from responder.web.parts import Parts, Refused
from responder.web.slack.payloads import Command
from responder.web.slack.people import caller_of, need, user_of

USAGE = (
    "/responder status\n"
    "/responder pause [SCOPE] [for 30m] [why]\n"
    "/responder resume ID|SCOPE|all\n"
    "/responder explain FINGERPRINT|RUN"
)
SHOWN = 2900
"""Characters: a text of a block takes 3,000 (docs.slack.dev, section block)."""
LISTED, TOLD = 5, 15
"""So many runs and incidents of a status, so many entries of a story."""
_SHORTEST, _LOOKED_AT = 4, 1000
"""As on the command line: characters of a part of an id, and rows that it is looked for in."""
_FOR = re.compile(r"(?:^|\s)(?:--)?for[\s=]+(\S+)")
_ALL = "all"


async def obey(parts: Parts, asked: Command) -> str:
    """Do what was typed and return what to say; raises Refused with why nothing was done."""
    user = user_of(parts, asked.user)
    verb, _, rest = asked.text.strip().partition(" ")
    handler = _VERBS.get(verb.casefold())
    if handler is None:
        return USAGE if verb in ("", "help") else f"There is no {verb[:30]!r}.\n{USAGE}"
    return _cut(await handler(parts, user, rest.strip()))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1].rstrip()}…"


def _caller(user: SlackUser, scope: str) -> Caller:
    """Return what a user may do about a scope: whoever is of some teams only, about theirs."""
    subject, _, name = scope.partition(":")
    return caller_of(user, name if subject == "team" else None)


async def _pause(parts: Parts, user: SlackUser, text: str) -> str:
    length = _FOR.search(text)
    words = (text[: length.start()] + " " + text[length.end() :] if length else text).split()
    scope = words.pop(0) if words and (is_scope(words[0]) or ":" in words[0]) else _ALL
    caller = _caller(user, scope)
    need(caller, "operator")
    brake = asks.Brake("pause", scope, " ".join(words), length.group(1) if length else "")
    made = await asks.put_on(parts, caller, brake)
    until = f" until {made.until:%Y-%m-%d %H:%M} UTC" if made.until else ", until somebody resumes"
    return f"Paused {scope}{until}. Undo it: /responder resume {made.id}"


async def _resume(parts: Parts, user: SlackUser, text: str) -> str:
    if not text:
        raise Refused(400, "what is to be resumed?", "/responder resume ID|SCOPE|all; /responder status lists them")
    in_force = {str(one["id"]): str(one["scope"]) for one in await brakes(parts)}
    caller = _caller(user, in_force.get(text, text))
    need(caller, "operator")
    lifted, left = await asks.lift(parts, caller, text)
    return "\n".join([f"Lifted {lifted}.", *(f"Still in force: {_brake(one)}" for one in left)])


def _brake(one: Row) -> str:
    until = f" until {one['until']}" if one["until"] else ""
    why = f": {one['reason']}" if one["reason"] else ""
    return f"{one['kind']} of {one['scope']} by {one['actor']}{until}{why} ({one['id']})"


async def _status(parts: Parts, _user: SlackUser, _text: str) -> str:
    lines = [f"responder {parts.version}, max_mode {parts.settings().max_mode}, {len(parts.playbooks())} playbooks"]
    lines += [f"⏸ {_brake(one)}" for one in await brakes(parts)] or ["Nothing is paused."]
    waiting = await rows(parts, "runs", LISTED, state="awaiting_approval")
    lines += [f"✋ waits for approval: run {one['id']}, {one['playbook']} on {one['target']}" for one in waiting]
    needing = [one for one in await rows(parts, "incidents", 200, status="open") if one["needs_person"]]
    lines += [f"⚠ needs a person: {one['needs_person']} ({one['id']})" for one in needing[:LISTED]]
    depths = await parts.depths()
    lines.append("; ".join(f"{name}: {depth.waiting} waiting, {depth.dead} dead" for name, depth in depths.items()))
    return "\n".join(lines)


async def _explain(parts: Parts, _user: SlackUser, text: str) -> str:
    if not text:
        raise Refused(400, "what is to be explained?", "/responder explain FINGERPRINT|RUN")
    incident_id = await _incident_of(parts, text.split(maxsplit=1)[0])
    account = await parts.people.account(incident_id) if incident_id else None
    if account is None:
        raise Refused(404, f"no run and no alert is known as {text[:60]!r}", "give a fingerprint, or a run's id")
    shown = veiled(account, lambda text: str(parts.mask(text)))
    news = compose(shown, 0, parts.now(), lambda _: None, parts.settings().external_url)
    news = without_labels(news, account, parts.settings().privacy.labels)
    return "\n".join(_told(news))


def _told(news: Notification) -> Iterator[str]:
    yield news.fallback
    yield from (f"{one.symbol} {one.text}" for one in news.lines)
    if news.why:
        yield f"Why: {news.why}"
    if news.by_hand:
        yield f"By hand: {news.by_hand}"
    if len(news.entries) > TOLD:
        yield f"… {len(news.entries) - TOLD} earlier entries"
    yield from (f"{one.at:%H:%M:%S} {one.text}" for one in news.entries[-TOLD:])


async def _incident_of(parts: Parts, wanted: str) -> str:
    """Return the incident of the alert with this fingerprint, else of the run with this id, its beginning or end."""
    episodes = await rows(parts, "episodes", 1, fingerprint=wanted)
    if episodes:
        return str(episodes[0]["incident"] or "")
    run = await parts.people.run(wanted)
    if run is not None:
        return run.incident_id
    if len(wanted) < _SHORTEST:
        return ""
    latest = await rows(parts, "runs", _LOOKED_AT)
    found = [one for one in latest if str(one["id"]).startswith(wanted) or str(one["id"]).endswith(wanted)]
    if len(found) > 1:
        shown = ", ".join(str(one["id"]) for one in found[:LISTED])
        raise Refused(409, f"{len(found)} runs have an id that begins or ends with {wanted!r}", f"among them {shown}")
    return str(found[0]["incident"]) if found else ""


_VERBS: Mapping[str, Callable[[Parts, SlackUser, str], Awaitable[str]]] = {
    "status": _status,
    "pause": _pause,
    "resume": _resume,
    "explain": _explain,
}
