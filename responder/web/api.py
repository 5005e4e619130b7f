"""What the API shows: lists, single rows, the status and the story of an alert."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast, get_args

from aiohttp import web
from pydantic import JsonValue

from responder.domain.alerts import Severity
from responder.domain.episodes import EpisodeState
from responder.domain.limits import TRIP, Pause, Subject
from responder.domain.runs import RunState
from responder.domain.verdicts import Verdict
from responder.ports.store import Kind
from responder.tell.pictures import chart_of
from responder.web.auth import Caller
from responder.web.parts import PARTS, Parts, Refused
from responder.web.routes import JsonHandler, Parameter, Route
from responder.web.touching import subjects_of, touching

Row = dict[str, JsonValue]

USUAL_LIMIT = 50
LARGEST_LIMIT = 1000
STORIES = 20
"""How many of the latest episodes ``explain`` tells."""
LISTS: tuple[Kind, ...] = get_args(Kind)
WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "incidents": {"status": ("open", "resolved", "regrouped"), "severity": tuple(Severity)},
    "episodes": {"state": tuple(EpisodeState), "severity": tuple(Severity)},
    "runs": {"state": tuple(RunState)},
    "decisions": {"verdict": tuple(Verdict)},
    "deliveries": {"state": ("waiting", "done", "dead")},
    "outbox": {"state": ("waiting", "told", "dead")},
}
"""The filters that take certain words only."""
_PAGE: Row = {
    "type": "object",
    "required": ["items", "next"],
    "properties": {
        "items": {"type": "array", "items": {"type": "object"}},
        "next": {"type": ["string", "null"], "description": "the cursor of the next page"},
    },
}
_PAGING = (
    Parameter("limit", f"at most this many rows, {USUAL_LIMIT} unless given, {LARGEST_LIMIT} at most", "integer"),
    Parameter("cursor", "`next` of the page before"),
)


_BESIDE: Mapping[str, str] = {
    "pauses": (
        " What people put on, also what is over; what this process's own file or environment puts on as well, and only"
        " what is in force, stands in `/api/v1/status`."
    ),
}
"""What a list does not say of itself."""


def reading_routes() -> tuple[Route, ...]:
    """Return the routes that change nothing."""
    lists = tuple(
        Route(
            "GET",
            f"/{kind}",
            _list_of(kind),
            "viewer",
            f"List {kind}, newest first; filter by field.{_BESIDE.get(kind, '')}",
            _PAGING,
            answer=_PAGE,
        )
        for kind in LISTS
    )
    return (
        *lists,
        Route("GET", "/playbooks", playbooks, "viewer", "List the playbooks in use.", answer=_PAGE),
        Route("GET", "/runs/{id}", one_of("runs"), "viewer", "Show one run with its steps."),
        Route(
            "GET",
            "/incidents/{id}",
            incident,
            "viewer",
            "Show one incident, decisions and findings; `chart` is SVG.",
        ),
        Route(
            "GET",
            "/incidents/{id}/chart.svg",
            chart,
            "viewer",
            "Show the chart of an incident's alert, with the moments of each change.",
            answer={"type": "string"},
            media="image/svg+xml",
        ),
        Route("GET", "/status", status, "viewer", "Show what runs, how it is configured and what waits."),
        Route("GET", "/explain", explain, "viewer", "Tell the story of the alerts with these labels.", _LABELS),
        Route(
            "GET",
            "/audit/verify",
            verify,
            "operator",
            "Hold the audit log against what was sealed of it.",
        ),
        Route("GET", "/report", report, "viewer", "Reserved for later: answers 400."),
    )


_LABELS = (Parameter("LABEL", "every parameter is a label and its value; all must match"),)


def _filters(request: web.Request) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name in found:
            raise Refused(400, f"{name} is given twice", "a filter takes one value")
        found[name] = value
    return found


def _list_of(kind: Kind) -> JsonHandler:
    async def handle(request: web.Request, _caller: Caller) -> JsonValue:
        filters = _filters(request)
        limit, cursor = _limit(filters.pop("limit", "")), filters.pop("cursor", "")
        _check_word(kind, filters)
        try:
            page = await request.app[PARTS].people.page(kind, filters, limit, cursor)
        except ValueError as error:
            raise Refused(400, str(error)) from error
        return {"items": [dict(item) for item in page.items], "next": page.next or None}

    return handle


def _check_word(kind: Kind, filters: Mapping[str, str]) -> None:
    """Refuse a word that no row can hold: an empty list would look like good news."""
    for field, words in WORDS.get(kind, {}).items():
        given = filters.get(field)
        if given is not None and given not in words:
            raise Refused(400, f"{kind} have no {field} {given[:60]!r}", f"one of {', '.join(words)}")


def _limit(text: str) -> int:
    if not text:
        return USUAL_LIMIT
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= LARGEST_LIMIT:
        raise Refused(400, f"limit={text[:20]!r} is not a number from 1 to {LARGEST_LIMIT}")
    return int(text)


async def rows(parts: Parts, kind: Kind, limit: int, **filters: str) -> list[Row]:
    """Return rows of a list."""
    return [dict(item) for item in (await parts.people.page(kind, filters, limit, "")).items]


async def find(parts: Parts, kind: Kind, row_id: str) -> Row:
    """Return the row with this id; raises Refused (404)."""
    found = await rows(parts, kind, 1, id=row_id)
    if not found:
        raise Refused(404, f"there is no {kind[:-1]} {row_id[:60]!r}", f"/api/v1/{kind} lists them")
    return found[0]


def one_of(kind: Kind) -> JsonHandler:
    """Return the handler that shows one row."""

    async def handle(request: web.Request, _caller: Caller) -> JsonValue:
        return await find(request.app[PARTS], kind, request.match_info["id"])

    return handle


async def incident(request: web.Request, _caller: Caller) -> JsonValue:
    """Show an incident, why each playbook ran or did not run for it, and what was found out beside its alerts."""
    parts = request.app[PARTS]
    found = await find(parts, "incidents", request.match_info["id"])
    account = await parts.people.account(str(found["id"]))
    return {
        **found,
        "findings": [
            {"kind": one.kind, "at": _instant(one.at), "text": one.text, "body": one.body}
            for one in (account.findings if account is not None else ())
        ],
        "chart": chart_of(account) if account is not None else "",
        "decisions": cast("list[JsonValue]", await rows(parts, "decisions", 200, incident=str(found["id"]))),
    }


async def chart(request: web.Request, _caller: Caller) -> JsonValue:
    """Return the chart of an incident; raises Refused (404) where there is none."""
    account = await request.app[PARTS].people.account(request.match_info["id"])
    drawn = chart_of(account) if account is not None else ""
    if not drawn:
        raise Refused(404, "there is no chart of this incident", "it takes a rule with a threshold in Prometheus")
    return drawn


async def playbooks(request: web.Request, _caller: Caller) -> JsonValue:
    """List the playbooks in use."""
    parts = request.app[PARTS]
    trips = {one["scope"]: one["reason"] for one in await brakes(parts) if one["kind"] == TRIP}
    found = [{**one, "tripped": trips.get(f"playbook:{one['name']}", "")} for one in parts.playbooks()]
    filters = _filters(request)
    filters.pop("limit", None)
    filters.pop("cursor", None)
    fitting = [one for one in found if all(str(one.get(name)) == value for name, value in filters.items())]
    return {"items": cast("list[JsonValue]", fitting), "next": None}


async def status(request: web.Request, _caller: Caller) -> JsonValue:
    """Show the process: version, configuration, playbooks and queues."""
    parts = request.app[PARTS]
    settings, now = parts.settings(), parts.now()
    queues: Row = {
        name: {"waiting": depth.waiting, "oldest_seconds": depth.oldest_seconds, "dead": depth.dead}
        for name, depth in (await parts.depths()).items()
    }
    complaints = [dict(one) for one in parts.complaints()]
    return {
        "version": parts.version,
        "role": parts.role,
        "now": _instant(now),
        "uptime_seconds": round((now - parts.started_at).total_seconds(), 3),
        "config": {"file": settings.file, "digest": settings.digest, "max_mode": str(settings.max_mode)},
        "clock": _clock(parts),
        "queues": queues,
        "playbooks": {"loaded": len(parts.playbooks()), "complaints": cast("list[JsonValue]", complaints)},
        "sources": cast("list[JsonValue]", sorted(settings.sources)),
        "pauses": cast("list[JsonValue]", await brakes(parts)),
    }


def _clock(parts: Parts) -> Row:
    doubted = parts.suspicion()
    if doubted is None:
        return {"suspect": False}
    return {"suspect": True, "why": doubted.why, "until": _instant(doubted.until)}


async def brakes(parts: Parts) -> list[Row]:
    """Return every brake that this process goes by, whoever or whatever put it on, the oldest first."""
    return [_brake(one) for one in await parts.people.brakes_in_force()]


def _brake(one: Pause) -> Row:
    return {
        "id": one.id,
        "kind": one.kind,
        "scope": one.scope,
        "reason": one.reason,
        "actor": one.actor,
        "source": one.source,
        "created_at": _instant(one.created_at),
        "until": None if one.until is None else _instant(one.until),
    }


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


async def explain(request: web.Request, _caller: Caller) -> JsonValue:
    """Tell what was received, decided and done for the alerts with these labels, and what would happen now."""
    labels = _filters(request)
    if not labels:
        raise Refused(400, "no labels", "give some, such as ?alertname=HighLatency")
    parts = request.app[PARTS]
    # Asked first: what is decided in between is counted, or told below.
    depth = (await parts.depths())["deliveries"]
    episodes = await parts.people.episodes_matching(labels, STORIES)
    stories = [await story(parts, episode.id, episode.incident_id) for episode in episodes]
    return {
        **parts.explain(labels),
        "pauses": [_brake(one) for one in await _touching(parts, labels, stories)],
        "undecided": {"waiting": depth.waiting, "oldest_seconds": depth.oldest_seconds},
        "items": cast("list[JsonValue]", stories),
        "next": None,
    }


async def _touching(parts: Parts, labels: Mapping[str, str], stories: Sequence[Row]) -> list[Pause]:
    """Return the brakes that may touch these alerts, or one with these ``labels`` if it came."""
    actions = {str(one["name"]): cast("Sequence[str]", one.get("steps") or ()) for one in parts.playbooks()}
    subjects: list[Subject] = []
    for one in stories or [{"episode": {"labels": dict(labels)}}]:
        own = cast("Mapping[str, str]", cast("Row", one["episode"])["labels"])
        found = cast("Sequence[Row]", parts.explain(own)["candidates"])
        subjects += subjects_of(one, [str(candidate["playbook"]) for candidate in found], actions)
    return touching(await parts.people.brakes_in_force(), subjects, parts.now())


async def story(parts: Parts, episode_id: str, incident_id: str) -> Row:
    """Return an episode with its incident, its decisions, the runs that served it and their records."""
    decisions = await rows(parts, "decisions", 200, episode=episode_id)
    # By the alert, not by its incident: one that has moved to another incident leaves its runs behind.
    runs = await rows(parts, "runs", 200, episode=episode_id)
    records = [record for run in runs for record in await rows(parts, "records", 200, run=str(run["id"]))]
    changed = dict.fromkeys(str(record["run"]) for record in records)
    runs += [back for run_id in changed for back in await rows(parts, "runs", 50, of_run=run_id)]
    return {
        "incident": next(iter(await rows(parts, "incidents", 1, id=incident_id)), None) if incident_id else None,
        "episode": await find(parts, "episodes", episode_id),
        "decisions": cast("list[JsonValue]", decisions),
        "runs": cast("list[JsonValue]", runs),
        "records": cast("list[JsonValue]", records),
    }


async def verify(request: web.Request, _caller: Caller) -> JsonValue:
    """Say whether the audit log is what was sealed; the whole of it is read."""
    return dict(await request.app[PARTS].verify())


async def report(request: web.Request, _caller: Caller) -> JsonValue:
    """Report; what it takes and gives is the business of ``learn``."""
    filters: Mapping[str, str] = _filters(request)
    try:
        return dict(await request.app[PARTS].report(filters))
    except ValueError as error:
        raise Refused(400, str(error)) from error
