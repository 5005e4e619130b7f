"""What each key of ``responder.yml`` means: the one thing about them that the reader does not say.

A test holds these against the keys that the reader asks for. Keys under ``http_config`` are those of every HTTP client.
"""

from collections.abc import Mapping

FILE_TWIN = "A file that holds it, read when the configuration is loaded."
"""Said of every ``…_file`` whose twin stands beside it."""

NOT_YET = "Read and checked, but nothing uses it yet: "
"""Said of keys whose user is still to come; take it away with the change that brings it."""

SECTIONS: Mapping[str, str] = {
    "store": "Where everything is kept: SQLite for one process, PostgreSQL for many replicas.",
    "redis": "Wake-ups between replicas. Nothing is kept there; without it the queues are polled.",
    "max_mode": "The highest mode that any playbook may use here.",
    "brake_file": "A file that stops this process for as long as it is there: it pauses everything, unless its lines "
    "say `halt`, scopes (`team:NAME`, `playbook:NAME`, `action:KIND`, `incident:ID`, `target:PATTERN`) or a reason. "
    "What cannot be read halts everything, a missing folder too. `RESPONDER_PAUSE` in the environment says the same, "
    "with `;` between the lines.",
    "audit_heads_file": "A file to which the head of each sealed segment of the audit log is added, by each process: "
    "what shows that the log was cut off or forged as a whole. Beside a SQLite store unless given "
    "(`responder.db.heads.jsonl`); with PostgreSQL there is none unless given. Copy it to where whoever can change the "
    "store cannot.",
    "playbooks": "Folders and files of playbooks. Names that start with a dot and `*.test.yaml` are skipped.",
    "sources": "Who may send alerts, to `POST /webhook/NAME`. Each proves who it is, by one of `authorization`, "
    "`basic_auth`, `hmac` and `client_certificate`. A highly available pair of Alertmanagers is one source.",
    "access": "Who may use the API and the pages.",
    "severity": "How urgent an alert is.",
    "team_label": "The alert label that names the team.",
    "prometheus": "The Prometheus servers that conditions are evaluated on, by a name. Of several, all but one need "
    "`matchers`.",
    "kubernetes": "The Kubernetes clusters. Nothing of them is read before the first use.",
    "connections": "What playbooks may look at and change besides clusters, by kind and name.",
    "commands": "What `command.run` may run, by name: [how to run commands](../how-to/run-commands.md).",
    "time_intervals": "Alertmanager's own form, used by name in playbooks and routes.",
    "policies": "Upper bounds for every playbook, by alert: on the mode, and on the effects of all of them together. "
    "All that match apply, and the strictest wins.",
    "notify": "The channels, and what they need.",
    "page": "Where *a person is needed* goes: exactly one place. Required once a playbook may act. While a fix runs, "
    "the page is held back. PagerDuty services in `routes` are called and taken back at the same moments.",
    "routes": "Who hears of which incidents. The first that matches wins; with `continue: true` the next are looked at "
    "as well.",
    "digest": "When a Slack channel gets one message for all that need nobody, edited and with the worst first, "
    "instead of one for each: `off` for never. Who needs a person has a message of its own in every storm.",
    "privacy": "What is masked beside the secrets of this file and what looks like a secret: in messages, answers and "
    "logs ([Keep secrets out](../how-to/keep-secrets-out.md)).",
    "protect": "Targets that no playbook may change, with `*` for any text. `*/namespace/NAME` covers what is in the "
    "namespace. Of every cluster `kube-system` is protected without being told, and so is the namespace that the "
    "responder itself runs in.",
    "retention": "How long is kept what is over.",
    "external_url": "How people reach the responder, for links in messages; the flag `--web.external-url` goes before "
    "it.",
    "group_interval": "That of Alertmanager: how soon it tells again about a group that has changed. An alert that "
    "its API (`sources.NAME.api_url`) no longer shows for a minute longer is over.",
    "episode_ttl": "When an alert is taken as over although nobody said so, because nothing has confirmed it.",
}
"""By top-level key."""

WORDS: Mapping[str, str] = {
    "store.url": "`sqlite:///responder.db` or `postgresql://user@host/name`; a bare URL may stand for the mapping.",
    "store.password": "Goes before one in the URL.",
    "redis.url": "`redis://host:6379/0`, or `rediss` for TLS; a bare URL may stand for the mapping.",
    "redis.password": "Goes before one in the URL.",
    "sources.NAME.kind": "What sends.",
    "sources.NAME.authorization": "What the sender puts into its Authorization header.",
    "sources.NAME.basic_auth": "As a user and password.",
    "sources.NAME.api_url": "Alertmanager's own API. With it no change is begun for an alert that is silenced, "
    "inhibited or no longer active there, nor while it gives no answer; and an alert whose end nobody told is closed.",
    "sources.NAME.hmac": "Grafana's signature of the body. It proves nothing before the body is there: where strangers "
    "reach the port, ask for `authorization` as well, or they can take the room (32 MiB) of sources that only sign.",
    "sources.NAME.hmac.secret": "What Grafana signs with.",
    "sources.NAME.hmac.header": "The header with the signature.",
    "sources.NAME.hmac.timestamp_header": "The header with the time that is signed as well; without it replays pass.",
    "sources.NAME.hmac.max_age": "A signature further away from now than this is refused.",
    "sources.NAME.client_certificate": "The sender has a client certificate that the web configuration file demands.",
    "access.tokens": "Bearer tokens.",
    "access.tokens.[].name": "Who holds it; appears in the audit log.",
    "access.tokens.[].role": "What its holder may do: look; approve, stop and undo; everything.",
    "access.tokens.[].token": "The secret itself.",
    "access.users": "Roles of the users in the web configuration file; viewer otherwise.",
    "access.slack": "Who the users of Slack are, by their member ids (`U…`): whoever is not here may press nothing.",
    "access.slack.NAME": "A user; Slack shows the id in the profile, under *Copy member ID*.",
    "access.slack.NAME.name": "Who this is; appears in the audit log and the thread. A person has one name everywhere: "
    "that of their token, too.",
    "access.slack.NAME.role": "What they may do: look; approve, stop and undo; everything.",
    "access.slack.NAME.groups": "What `approval.from` means by `slack:@GROUP`.",
    "access.pagerduty": "Who the users of PagerDuty are, by their ids (`P…`). Where nobody is listed, whoever may "
    "acknowledge there stops automation here.",
    "access.pagerduty.NAME": "A user; the id ends the address of the user's page.",
    "access.pagerduty.NAME.name": "Who this is; appears in the audit log and the thread.",
    "access.pagerduty.NAME.role": "An acknowledgement counts from `operator` on.",
    "access.pagerduty.NAME.teams": "The role counts for the incidents of these teams.",
    "access.slack.NAME.teams": "The role counts for the incidents of these teams; for all others it is viewer.",
    "access.anonymous": "Ask for no credentials at all. Refused unless only this machine can reach the listener.",
    "severity.label": "The alert label that says it.",
    "severity.map": "What its values mean; goes before the usual words (`page`, `error`, `warning`, `info`, …).",
    "severity.default": "For alerts without the label, or with an unknown value.",
    "prometheus.NAME": "How it is reached.",
    "prometheus.NAME.matchers": "The alerts it answers for; none: all.",
    "kubernetes.cluster_label": "The alert label that names the cluster.",
    "kubernetes.reconcilers": "What to do about a field that something else keeps as it is (an autoscaler, Argo CD, "
    "Flux): `refuse` to change it, `warn` in the plan, or `allow` it without a word.",
    "kubernetes.clusters": "The clusters by name, as the label has it.",
    "kubernetes.clusters.NAME.kubeconfig": "How to reach it; none: as the pod's service account. "
    "`in-cluster` may stand for the mapping.",
    "kubernetes.clusters.NAME.context": "Which context of the kubeconfig; none: its current one.",
    "kubernetes.clusters.NAME.prometheus": "The Prometheus that watches it: the one that is asked about its alerts.",
    "connections.pgbouncer": "Consoles of PgBouncer: targets `pgbouncer/NAME`. How to let a responder in: "
    "[change databases](../how-to/change-databases.md#pgbouncer).",
    "connections.pgbouncer.NAME.dsn": "`postgresql://user:password@host:6432/pgbouncer`, one of its `admin_users`.",
    "connections.pgbouncer.NAME.matchers": "The alerts that are about it, for `{{ connection }}`.",
    "connections.docker": "Container engines over their local socket: targets `docker/NAME`.",
    "connections.docker.NAME.socket": "Where the socket of the Engine API is; `/var/run/docker.sock` unless given.",
    "connections.docker.NAME.containers": "The containers that may be restarted and updated; `*` stands for any text.",
    "connections.docker.NAME.matchers": "The alerts that are about it, for `{{ connection }}`.",
    "connections.host": "Machines: targets `host/NAME`. `local` may stand for the mapping: the one that the responder "
    "runs on.",
    "connections.host.NAME.folder": "Where it is written down what became of each command; `responder.commands` beside "
    "this file unless given. It has to outlive the process, and belongs to one machine. With `ssh` it is a folder "
    "there, and has to be given.",
    "connections.host.NAME.ssh": "How it is reached, when it is another machine; without it, it is the one that the "
    "responder runs on. Needs the extra: `pip install 'alert-responder[ssh]'`; the container image has it.",
    "connections.host.NAME.ssh.address": "Its name or address, as it stands in the file of known hosts.",
    "connections.host.NAME.ssh.port": "Where sshd listens; 22 unless given.",
    "connections.host.NAME.ssh.user": "As whom to log in there.",
    "connections.host.NAME.ssh.key_file": "The private key, without a passphrase; no agent and no `~/.ssh` is used.",
    "connections.host.NAME.ssh.known_hosts": "The file with its host key, as `ssh-keyscan` writes it. Required: "
    "nothing is sent to a machine that cannot show the key.",
    "connections.host.NAME.ssh.connect_timeout": "How long connecting may take; 3s unless given, at most 5s.",
    "connections.host.NAME.ssh.python": "The Python (3.9 or later) there that runs what is sent; `/usr/bin/python3` "
    "unless given.",
    "connections.host.NAME.units": "The units of systemd that `systemd.restart` may restart; `*` stands for any text.",
    "connections.host.NAME.matchers": "The alerts that are about it, for `{{ connection }}`.",
    "commands.NAME": "A command; its name is what playbooks call it.",
    "commands.NAME.argv": "The program with its arguments, one by one; no shell reads them. `{{ name }}` is the place "
    "of a parameter, in an argument or as a part of one.",
    "commands.NAME.undo": "What undoes it, written like `argv`. Without it a step needs `undo: none`.",
    "commands.NAME.landed": "What tells whether a run whose end nobody saw is done, written like `argv`: 0 is yes, 1 "
    "is no, all else is unknown. It finds the key of the run in `RESPONDER_RECORD`, and changes nothing.",
    "commands.NAME.parameters": "The parameters by name, each with the regular expression (RE2) that the whole value "
    "must fit.",
    "commands.NAME.parameters.NAME": "What a value must fit.",
    "commands.NAME.hosts": "Where it may be run; none: everywhere.",
    "commands.NAME.folder": "The folder in which it is run; `/` unless given.",
    "commands.NAME.environment": "What it sees of the responder's environment, beside `PATH`, `LANG`, `LC_ALL` and "
    "`TZ`.",
    "commands.NAME.user": "As whom it is run; the responder has to be root for that.",
    "commands.NAME.timeout": "How long it may take; then its whole process group is ended, and what came of it is "
    "unknown.",
    "commands.NAME.output": "How many bytes are kept of what it says.",
    "commands.NAME.exit_codes": "What exit codes mean. All others, and an end by a signal, are unknown: a person is "
    "asked.",
    "commands.NAME.exit_codes.success": "It is done; 0 unless given.",
    "commands.NAME.exit_codes.nothing": "There was nothing to do, so there is nothing to undo.",
    "commands.NAME.exit_codes.failed": "It has certainly changed nothing, and may be tried again.",
    "connections.http": "HTTP services: targets `http/NAME`.",
    "connections.http.NAME": "How it is reached.",
    "connections.http.NAME.allow": "What may be called: a method and a path, `*` for any.",
    "connections.http.NAME.idempotent": "Whether it does nothing a second time under the same `Idempotency-Key`. "
    "Without this and without ETags, a send whose answer was lost is never repeated: a person is asked.",
    "connections.http.NAME.matchers": "The alerts that are about it, for `{{ connection }}`.",
    "connections.http.NAME.max_answer": "How many bytes an answer may have; a longer one is an error. 1 MiB unless "
    "given.",
    "connections.http.NAME.timeout": "How long one call may take; above 8s to look and 9s to change it has no effect.",
    "connections.redis": "Redis servers: targets `redis/NAME`. How to let a responder in: "
    "[Change databases](../how-to/change-databases.md).",
    "connections.redis.NAME.url": "`redis://host:6379/0`; a bare URL may stand for the mapping.",
    "connections.redis.NAME.password": "Goes before one in the URL.",
    "connections.redis.NAME.parameters": "The parameters that `redis.config_set` may set there, instead of the usual "
    "ones.",
    "connections.redis.NAME.matchers": "The alerts that are about it, for `{{ connection }}`.",
    "connections.postgres": "PostgreSQL databases: targets `postgres/NAME`; never one that holds a "
    "responder's store. How to let a responder in: [Change databases](../how-to/change-databases.md).",
    "connections.postgres.NAME.dsn": "`postgresql://user:password@host/name`.",
    "connections.postgres.NAME.parameters": "What `postgres.set_parameter` may set there, instead of the usual ones.",
    "connections.postgres.NAME.matchers": "The alerts that are about it, for `{{ connection }}`.",
    "time_intervals.[].name": "What playbooks call it.",
    "time_intervals.[].time_intervals": "The intervals, as in Alertmanager: `times`, `weekdays`, `days_of_month`, "
    "`months`, `years`, `location`.",
    "policies.[].matchers": "The alerts it is about; none: all.",
    "policies.[].max_mode": "The highest mode for them. A policy has this, `limits` or both.",
    "policies.[].limits": "What all playbooks together may do for these alerts, whichever replica they run on. Counted "
    "with each change, from when the policy is there; policies with the same matchers share one count.",
    "policies.[].limits.per_target": "Forward effects on one target in any window, such as `3 per 1h`.",
    "policies.[].limits.rate": "Forward effects in any window, such as `20 per 1h`.",
    "policies.[].limits.concurrent": "Runs at the same time, from before their first change until they have ended.",
    "notify.slack": "A Slack app.",
    "notify.slack.token": "The bot's token, `xoxb-…`.",
    "notify.slack.signing_secret": "Proves that a click comes from Slack: lets Slack call `/slack/interactions` and "
    "`/slack/commands`. Not needed with Socket Mode.",
    "notify.slack.app_token": "An app-level token, `xapp-…`, with the scope `connections:write`: clicks and "
    "commands come through a connection that the responder opens (Socket Mode). No public URL is needed.",
    "notify.slack.api_url": "Where Slack is.",
    "notify.slack.pictures": "Put the chart of an alert into the thread of its message, where the app may "
    "(`files:write`). An extra: `pip install 'alert-responder[pictures]'`; the container image has it.",
    "notify.slack.mention": "Who is called when a person is needed, and at no other time: ids of user groups (`S…`) or "
    "people (`U…`), `here` or `channel`. One or a list.",
    "notify.pagerduty": "PagerDuty, through the Events API v2.",
    "notify.pagerduty.services": "The services by a name, which routes and playbooks use.",
    "notify.pagerduty.services.NAME.routing_key": "The integration key of the service.",
    "notify.pagerduty.api_url": "Where PagerDuty is.",
    "notify.pagerduty.services.NAME.interop": "`alertmanager` where Alertmanager pages with the same key: its alert is "
    "enriched (the same dedup key), not doubled.",
    "notify.pagerduty.changes": "Whether each effect is told as a change event of the service, too.",
    "notify.pagerduty.webhook_secret": "Proves that a webhook comes from PagerDuty: lets it call "
    "`/pagerduty/webhook` when somebody acknowledges.",
    "notify.pagerduty.on_acknowledge": "What an acknowledgement in PagerDuty does: `pause` begins nothing new for the "
    "incident for a day, `note` writes it down.",
    "notify.webhook": "Services of your own, by a name: each change of state as signed JSON "
    "([Channels](../how-to/channels.md)).",
    "notify.webhook.NAME.secret": "What the body is signed with (Standard Webhooks): a text, or `whsec_` and base64.",
    "notify.email": "E-mail: a thread for each incident.",
    "notify.email.host": "The server that takes mail.",
    "notify.email.port": "Its port; default 587, with `tls: implicit` 465, with `tls: none` 25.",
    "notify.email.tls": "How the connection is encrypted; `none` sends no password.",
    "notify.email.username": "Who logs in; none: nobody does.",
    "notify.email.password": "The password.",
    "notify.email.from": "Whom the mail is from.",
    "notify.email.states": "`final` says nothing of what passes by itself (firing, fixing, undoing) until a person is "
    "needed.",
    "notify.teams": "Workflows of Microsoft Teams, by a name: a card for each change of state.",
    "notify.teams.NAME.url": "The workflow's address; whoever knows it may post.",
    "notify.slack_webhook": "Incoming webhooks of Slack, by a name: a message for each change of state, without edits "
    "and buttons.",
    "notify.slack_webhook.NAME.url": "The webhook's address; whoever knows it may post.",
    "notify.apprise": "Everything that Apprise speaks to, by a name. An extra: "
    "`pip install 'alert-responder[apprise]'`.",
    "notify.apprise.NAME.url": "Apprise's URL, such as `matrix://user:password@host/#room`.",
    "notify.console": "Write messages to the log.",
    "page.slack": "A channel.",
    "page.pagerduty": "A service.",
    "page.webhook": "A service of your own.",
    "page.email": "An address.",
    "page.teams": "A workflow.",
    "page.slack_webhook": "An incoming webhook.",
    "page.apprise": "A service of Apprise's.",
    "page.console": "The log.",
    "page.after": "How long an incident may take before somebody is called although no fix has failed. It counts from "
    "the first alert of the incident that is `critical` or `high` and that a playbook in mode `approve` or `auto` is "
    "for. Called when the incident is neither resolved nor verified by then, once; taken back when it is, or when "
    "somebody answers with `responder ack`. What needs a person sooner (a fix that failed, was undone without another "
    "to try, or that nobody can tell the end of) is told at once, whatever its severity.",
    "routes.[].matchers": "The incidents it is about; none: all.",
    "routes.[].severity": "How urgent, one or several, as `severity` maps it; none: however.",
    "routes.[].team": "Whose, one or several, by the label `team_label`; none: anybody's.",
    "routes.[].active_time_intervals": "Names of `time_intervals`: it tells in these only. What it takes meanwhile and "
    "is still open is told then.",
    "routes.[].mute_time_intervals": "Names of `time_intervals` in which it does not tell.",
    "routes.[].slack": "Channels.",
    "routes.[].pagerduty": "Services.",
    "routes.[].webhook": "Services of your own.",
    "routes.[].email": "Addresses.",
    "routes.[].teams": "Workflows.",
    "routes.[].slack_webhook": "Incoming webhooks.",
    "routes.[].apprise": "Services of Apprise's.",
    "routes.[].console": "The log.",
    "routes.[].incidents": "Those for which a playbook decided something, those for which none did, or all.",
    "routes.[].continue": "Look at the next routes as well.",
    "digest.after": "So many incidents of a channel have messages of their own.",
    "digest.within": "Within how long they began.",
    "privacy.labels": "Labels whose values are in no message and no log; answers hide the label: `<hidden>` stands "
    "there. Playbooks and matchers see them; in what they put them into they are hidden where the alert's labels stand "
    "beside it.",
    "privacy.patterns": "What else is masked, as regular expressions (RE2).",
    "privacy.personal": "Whether e-mail addresses and card numbers are masked, too.",
    "retention.deliveries": "Webhook bodies.",
    "retention.history": "Incidents, decisions, runs and records.",
    "retention.audit": "The audit log.",
    "http_config.url": "The address to call, without credentials in it.",
    "http_config.authorization": "An Authorization header.",
    "http_config.authorization.type": "Its scheme.",
    "http_config.authorization.credentials": "What it holds after the scheme.",
    "http_config.basic_auth": "A user and password; not together with `authorization`.",
    "http_config.basic_auth.username": "The user.",
    "http_config.basic_auth.password": "The password.",
    "http_config.oauth2": "Client credentials, for `connections.http` only: the token is asked for over the same "
    "`tls_config` and `proxy_url`, used until shortly before its end, and asked for anew when it is refused.",
    "http_config.oauth2.client_id": "Who calls.",
    "http_config.oauth2.client_secret": "The client's secret.",
    "http_config.oauth2.token_url": "Where the token is given.",
    "http_config.oauth2.scopes": "What is asked for.",
    "http_config.oauth2.endpoint_params": "Further parameters of the request for a token.",
    "http_config.tls_config": "Whom to trust, and who we are.",
    "http_config.tls_config.ca_file": "The certificates to trust; default: the system's.",
    "http_config.tls_config.cert_file": "Our certificate.",
    "http_config.tls_config.key_file": "The key of our certificate.",
    "http_config.tls_config.server_name": "The name that the server's certificate must have.",
    "http_config.tls_config.insecure_skip_verify": "Trust anybody.",
    "http_config.tls_config.min_version": "The lowest version of TLS.",
    "http_config.tls_config.max_version": "The highest version of TLS.",
    "http_config.proxy_url": "A proxy to go through.",
    "http_config.http_headers": "Further headers by name; credentials go to `authorization`.",
    "http_config.http_headers.NAME.values": "Values in plain sight.",
    "http_config.http_headers.NAME.secrets": "Values that no log line may hold.",
    "http_config.http_headers.NAME.files": "Files that hold such values.",
    "http_config.follow_redirects": "Accepted because it stands in people's files; redirects are never followed.",
    "http_config.enable_http2": "Accepted because it stands in people's files; HTTP/1.1 is always spoken.",
}
"""By dotted path; ``NAME`` stands for a chosen name, ``[]`` for an item of a list."""
