"""The aiohttp application, made of the parts that it is handed."""

from aiohttp import web

from responder.web import health, openapi, pagerduty
from responder.web.api import reading_routes
from responder.web.api_people import asking_routes
from responder.web.auth import PASSWORDS, Passwords
from responder.web.middleware import answer
from responder.web.parts import PARTS, Parts
from responder.web.routes import Route
from responder.web.slack.desk import Desk
from responder.web.slack.http import add_routes
from responder.web.webhook import receive

_PATHS = {"/quarantines/{target}": "/quarantines/{target:.+}"}
"""A target holds slashes."""


def api_routes() -> tuple[Route, ...]:
    """Return every operation of the API."""
    return (*reading_routes(), *asking_routes())


def make_application(parts: Parts, desk: Desk | None = None) -> web.Application:
    """Return the application, with what Slack calls where there is a ``desk``; pages may add their own routes."""
    app = web.Application(middlewares=[answer], client_max_size=parts.bounds.api_bytes)
    app[PARTS] = parts
    app[PASSWORDS] = Passwords()
    app[health.READINESS] = health.Readiness(parts.ready)
    app.router.add_post("/webhook/{source}", receive)
    app.router.add_put("/webhook/{source}", receive)
    app.router.add_post("/pagerduty/webhook", pagerduty.receive)
    app.router.add_get("/-/healthy", health.healthy)
    app.router.add_get("/-/ready", health.ready)
    app.router.add_post("/-/reload", health.reload)
    app.router.add_get("/metrics", health.metrics)
    if desk is not None:
        add_routes(app, desk)
    routes = api_routes()
    for route in routes:
        path = _PATHS.get(route.path, route.path)
        app.router.add_route(route.method, f"/api/v1{path}", route.serve())
    document = openapi.describe(routes, parts.version)

    async def describe(_request: web.Request) -> web.Response:
        return web.json_response(document)

    app.router.add_get("/api/v1/openapi.json", describe)
    return app
