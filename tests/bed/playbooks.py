"""The playbook of the tests with a real target: it changes one item and looks whether it is as wanted."""

_PLAYBOOK = """\
schema: 1
name: NAME
summary: Change one item.
mode: MODE
matchers:
  - alertname="ALERTNAME"
target: http/checkout/{{ labels.item }}
limits:
  mass_failure: off
LIMITSsteps:
  - id: change
RETRIESMORE_KEYS    http.request:
      service: checkout
      read: "GET /admin/{{ labels.item }}"
      send: "PUT /admin/{{ labels.item }}"
CHANGE
MORE_STEPSverify:
  - name: workers
    probe: http.get
    with:
      service: checkout
      path: "/admin/{{ labels.CHECKED }}"
      pointer: /workers
    equals: WANTED
    within: WITHIN
"""


def change_item(
    name: str,
    *,
    alertname: str = "",
    mode: str = "auto",
    limits: str = "",
    retries: int = 3,
    sets: int | None = None,
    adds: int = 1,
    more_keys: str = "",
    more_steps: str = "",
    checked: str = "item",
    wanted: int = 5,
    within: str = "1s",
) -> str:
    """Return a playbook that ``adds`` workers to the item of an alert, or ``sets`` how many it has.

    It is for alerts called ``alertname``, by default as the playbook. ``limits``, ``more_keys`` (of the step) and
    ``more_steps`` are further lines; no number of sick items stops it. The label ``checked`` names the item that must
    have ``wanted`` workers ``within`` a duration.
    """
    values = {
        "ALERTNAME": alertname or name,
        "NAME": name,
        "MODE": mode,
        "LIMITS": limits,
        "RETRIES": f"    retries: {retries}\n" if retries else "",
        "MORE_KEYS": more_keys,
        "CHANGE": f"      set:\n        workers:\n          by: {adds}"
        if sets is None
        else f"      json:\n        workers: {sets}",
        "MORE_STEPS": more_steps,
        "CHECKED": checked,
        "WANTED": str(wanted),
        "WITHIN": within,
    }
    text = _PLAYBOOK
    for place, value in values.items():
        text = text.replace(place, value)
    return text
