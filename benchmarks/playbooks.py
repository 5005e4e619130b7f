"""Playbooks for measurements: many that never act, and some that act on as many targets as there are alerts."""

_IDLE = """\
schema: 1
name: idle-{number}
summary: Matches none of the alerts that are sent; it is there to be looked through.
mode: observe
matchers:
  - alertname="{alertname}"
  - namespace!~"kube-.*"
  - severity=~"{severity}"
target: http/checkout/{{{{ labels.item }}}}
steps:
  - id: set
    http.request:
      service: checkout
      read: GET /admin/{{{{ labels.item }}}}
      send: PUT /admin/{{{{ labels.item }}}}
      json:
        workers: 6
verify:
  - name: workers
    probe: http.get
    with:
      service: checkout
      path: /admin/{{{{ labels.item }}}}
      pointer: /workers
    equals: 6
    within: 10s
docs:
  by_hand: set the workers
"""

_ACTING = """\
schema: 1
name: set-workers-{number}
summary: Reads, writes, and looks whether it is so.
mode: auto
matchers:
  - alertname="Overloaded"
  - shard="{number}"
target: http/checkout/{{{{ labels.item }}}}
limits:
  mass_failure: off
steps:
  - id: set
    http.request:
      service: checkout
      read: GET /admin/{{{{ labels.item }}}}
      send: PUT /admin/{{{{ labels.item }}}}
      json:
        workers: 6
verify:
  - name: workers
    probe: http.get
    with:
      service: checkout
      path: /admin/{{{{ labels.item }}}}
      pointer: /workers
    equals: 6
    within: 10s
docs:
  by_hand: set the workers
"""

ACTING = 10
"""How many playbooks share the work: runs of one playbook authorise their effects one after another."""


def acting() -> dict[str, str]:
    """Return the playbooks that act, by file name; the label ``shard`` says which one."""
    return {f"set-workers-{number}.yaml": _ACTING.format(number=number) for number in range(ACTING)}


def idle(count: int) -> dict[str, str]:
    """Return ``count`` playbooks by file name: most look for other alerts, every tenth is let down by a label."""
    made = {}
    for number in range(count):
        near = number % 10 == 0
        made[f"idle-{number}.yaml"] = _IDLE.format(
            number=number,
            alertname="HighLatency" if near else f"Other{number}",
            severity="critical" if near else "warning|critical",
        )
    return made
