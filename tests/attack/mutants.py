"""Each guard of ``docs/reference/safety.md``, and how it is broken on purpose: which words are replaced by which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Break:
    """What is replaced: ``old`` stands exactly once in ``path`` below ``responder/``.

    ``also`` is a second guard of the same, in another module, which has to go with it before anybody can tell.
    """

    path: str
    old: str
    new: str
    also: "Break | None" = None

    @property
    def every(self) -> Sequence["Break"]:
        """Both of them."""
        return (self,) if self.also is None else (self, self.also)


_EFFECTS = "act/effects.py"
_LIMITS = "domain/limits.py"
_APPROVED = "domain/approvals.py"
_DECIDED = "decide/candidates.py"
_STORED = "stores/core/effects.py"

BREAKS: Mapping[str, Break] = {
    "A 2xx answer means committed": Break(
        "intake/buffer.py", "            await done\n", "            await asyncio.sleep(0)\n"
    ),
    "The store cannot take it: 503": Break(
        "web/webhook.py", 'raise unavailable(f"not stored: {error}") from error', "error.add_note('ignored')"
    ),
    "What is refused is let go of": Break("intake/buffer.py", "self._waiting.pop(done, None)", "pass"),
    "A commit without an answer is read back": Break(
        "stores/postgres.py", "return await self._read_back(deliveries, error)", "raise translate(error) from error"
    ),
    "Any bytes have an answer": Break(
        "intake/wire.py",
        'raise IntakeError(\n            f"the body is not JSON',
        'raise ArithmeticError(\n            f"the body is not JSON',
    ),
    "One run for an episode, playbook and target": Break(
        _DECIDED,
        "        if not done:\n            return None\n        last",
        "        if done is not None:\n            return None\n        last",
    ),
    "Alerts on one target join one run": Break(
        "decide/bench.py", "return self._joinable.get(pair)", "return None if pair else self._joinable.get(pair)"
    ),
    "The record is committed before the effect": Break(_STORED, "Rows(records, intended, ", "Rows(records, [], "),
    "A dead turn is settled by looking, not by sending": Break(
        _EFFECTS, 'landed = await _landed(engine, run, action, record, "do")', "landed = Landed.NO"
    ),
    "One send per call, one key per direction": Break(
        _EFFECTS,
        "        return Outcome(Sent.IN_DOUBT, replace(record, message=str(error)))\n"
        "    return Outcome(Sent.LANDED, await _applied(engine, run, action, record, observed))",
        "        not_applied = await _close(engine, run, record, RecordState.NOT_APPLIED, str(error))\n"
        "        return Outcome(Sent.NOT_YET, not_applied)\n"
        "    return Outcome(Sent.LANDED, await _applied(engine, run, action, record, observed))",
    ),
    "The lease's epoch guards each write, the fence each send": Break(
        "stores/core/sight.py", "row is not None and row.epoch == run.epoch", "row is not None"
    ),
    "Who takes claims away raises their epoch first, and looks later at what may be on its way": Break(
        "stores/core/lives.py",
        '{"lease_until": until, "epoch": runs.c.epoch + 1}',
        '{"lease_until": until, "epoch": runs.c.epoch}',
    ),
    "What the store cuts short counts as no attempt": Break(
        "stores/core/lives.py",
        "(table.c.attempts > 0, table.c.attempts - 1)",
        "(table.c.attempts > 0, table.c.attempts)",
    ),
    "What the store always fails of holds up no other": Break(
        "decide/decider.py", "name(one) if name(one) in self._suspects else", "name(one) if not name(one) else"
    ),
    "Two slices about one alert wait for each other": Break(
        "stores/core/slices.py", "await self._db.lock(self._tx, [f", "await self._db.lock(self._tx, [] and [f"
    ),
    "An older version leaves alone what a newer one wrote": Break(
        "stores/core/prepared.py",
        "runs.c.format <= literal_column(str(FORMAT), Integer)",
        "runs.c.format <= literal_column(str(FORMAT + 1000), Integer)",
    ),
    "A permission is used at once or not at all": Break(
        _EFFECTS,
        "if engine.clock.monotonic() - read_at > SEND_WITHIN_SECONDS:",
        "if engine.clock.monotonic() - read_at > 1000 * SEND_WITHIN_SECONDS:",
    ),
    "Who wakes up behind another process sends nothing": Break(
        _STORED, "        if epoch != run.epoch:\n", "        if epoch is None:\n"
    ),
    "One run holds a target": Break("stores/core/targets.py", "    if other:\n", "    if other == run.id:\n"),
    "Limits are counted in the record's transaction": Break(
        _STORED, "over_limit(limits, sight.usage(run, limits), _wanted(wish, own), sight.now)", "None"
    ),
    "What a policy limits, all playbooks share": Break(
        _LIMITS, "or _over_a_cap(limits.caps, usage, need, now)", "or _over_a_cap((), usage, need, now)"
    ),
    "A budget is reserved for the whole plan": Break(
        _STORED, "max(1, wish.authority.effects, len(own) + 1)", "max(1, len(own) + 1)"
    ),
    "What is reserved counts until it is used or given back": Break(
        "stores/core/prepared.py",
        "ledger.c.record_id == _WORD",
        "ledger.c.record_id == _WORD, ledger.c.at > used.c.since",
    ),
    "At most a share of the targets is acted on at once": Break(
        _LIMITS, "len(others) + 1 > cap.targets", "len(others) + 1 > 1000 * cap.targets"
    ),
    "Nobody knows how many targets there are: no effect": Break(
        "act/reach.py", "    if not name:\n", "    if name is None:\n"
    ),
    "A mass failure is left to a person": Break(_LIMITS, "if sick <= share.allows(population):", "if sick >= 0:"),
    "The store's clock does not go back": Break(
        "stores/core/clock.py",
        "        at = source + reckoning.offset\n        if mark is not None and expected is None:\n",
        "        at = source\n        if mark is not None and at < source:\n",
    ),
    "No effect for what is over or out of date": Break(
        _STORED,
        "return Refusal(Verdict.RESOLVED, Verdict.RESOLVED.sentence)\n    if authority.evidence_at is not None:",
        "return None\n    if authority.evidence_at is not None:",
    ),
    "A missing label means no effect": Break(
        "language/templates.py", "if _is_empty(value) and not may_be_empty:", "if expression is None:"
    ),
    "An alert that begins more than an hour from now is told, not acted on": Break(
        "decide/guards.py", "if ahead <= MOST_AHEAD:", "if ahead:"
    ),
    "A target that asks to be left alone is, whichever playbook comes next": Break(
        "decide/guards.py", "if until <= q.bench.now:", "if until:"
    ),
    "What was altered on the way in is told, not acted on": Break(
        "decide/guards.py", "how = alteration(q.episode.labels)", 'how = ""'
    ),
    "What was measured before the change verifies nothing": Break(
        "act/age.py", "seen = at - await _on_its_way(prometheus)", "seen = at"
    ),
    "What moves away from what is wanted is not better": Break(
        "act/judge.py", 'return abs(value - bounds["equals"])', "return value"
    ),
    "What is no better than before has not helped": Break("act/judge.py", "if gain <= 0:", "if before and gain < 0:"),
    "What cannot be read verifies nothing": Break(
        "act/judge.py", "if not all(math.isfinite(number) for number in numbers):", "if not numbers:"
    ),
    "What follows from our own changes ends at a person": Break(
        "decide/guards.py", "return q.bench.cause(q.option.pair, q.episode).refusal", "return None"
    ),
    "A change that does not help is undone": Break(
        "act/after.py",
        "return did_not_help(found.run, playbook, found.reason)",
        "return _helped(found.run, playbook, standing)",
    ),
    "What did not help is undone before the next means is tried": Break(
        "act/checkpoints.py", 'if playbook.on_failure == "keep":', 'if playbook.on_failure != "ask":'
    ),
    "A portion that does not hold is the last one, and takes those before it back with it": Break(
        "playbook/model.py", 'step.gradual.verify == "between"', 'step.gradual.verify == "after each"'
    ),
    "Drift is left alone": Break(
        _EFFECTS,
        "if await bounded(action.drifted(run.target, record, engine.tools), EFFECT_SECONDS):",
        "if record.state is RecordState.DRIFTED:",
        Break("actions/http_request.py", "if current.image != record.observed:", "if not current.image:"),
    ),
    "What another run has changed since is not undone under it": Break(
        _EFFECTS, "reversed(later) if lies_upon(one, record)", "later if one is record"
    ),
    "In doubt, a person is asked, and the target is left alone": Break(
        "act/during.py", ', quarantine=f"Run {run.id}: {reason}"))', "))"
    ),
    "A doubt outlives the turn that found it": Break(
        "act/reverting.py", "_stopped(run, standing) or (None if left", "(None if left"
    ),
    "A pause takes hold within a second, and stays": Break(_LIMITS, "    if not covering:\n", "    if pauses:\n"),
    "A halt stops undoing too": Break(
        _LIMITS,
        "return paused((pause for pause in pauses if pause.halts), subject, now)",
        "return None if subject else paused(pauses, subject, now)",
    ),
    "What a person has stopped is not begun again by itself": Break(
        "act/during.py",
        "    if refusal.verdict is Verdict.STOPPED:\n",
        "    if refusal.verdict is Verdict.PROTECTED:\n",
    ),
    "A person's no holds for as long as the alert lasts": Break(
        "ports/slices.py", "return self.declined or self.state is RunState.CANCELLED", "return False"
    ),
    "A moved start is no new alert to what a person declined": Break(
        "decide/correlate.py", "anew=not declined and _began_anew(", "anew=_began_anew("
    ),
    "A no is one to the alert as it is now": Break(
        "stores/core/people.py", "await tx.execute(joined.on_conflict_do_nothing())", "joined.on_conflict_do_nothing()"
    ),
    "A no to a question counts whatever its alert does": Break(
        "stores/core/people.py", "await _stop(tx, run_id, actor)  # it", "_stop  # it"
    ),
    "A try that is due comes": Break("decide/slices.py", "hears.opens_at, case.comes_back_at)", "hears.opens_at)"),
    "What stands in doubt is not tried again": Break(
        _DECIDED, "return run.state in (RunState.UNKNOWN, RunState.PARTLY_ROLLED_BACK)", "return False"
    ),
    "A stop counts up to the last moment": Break(
        "stores/core/ending.py", "return run.id in held and bool(held[run.id].stop_by)", "return False"
    ),
    "A turn ends before its lease does": Break(
        "act/after.py", "and engine.clock.monotonic() >= until:", "and engine.clock.monotonic() < 0 < until:"
    ),
    "Time in which nobody could work does not count": Break(
        "act/actor.py", "    if late < AWAY or run.state is RunState.PARKED:\n", "    if late:\n"
    ),
    "A yes counts once, in time, for the plan that was shown": Break(
        "act/before.py", "if run.progress.plan_hash != approval.plan_hash:", "if not run.progress.plan_hash:"
    ),
    "Each step is compared with what was shown before it is sent": Break(
        "act/shown.py", "    if not run.progress.approved:\n", "    if ready:\n"
    ),
    "Only those whom `approval.from` names may answer": Break(
        "web/asks.py", "if may_answer(allowed, caller.name, caller.role, caller.groups):", "if caller.name:"
    ),
    "Four eyes are two people's": Break(_APPROVED, "if _same(actor, asked.first_by):", "if not actor:"),
    "A yes outlives the turn that took it": Break(
        "act/before.py", 'return approval.state in ("approved", "spent")', 'return approval.state == "approved"'
    ),
    "What must hold is asked again when the yes comes": Break(
        "act/before.py",
        "refusal = await failing(engine, run, playbook.limits) or await unmet(engine, run, playbook, standing)",
        "refusal = None",
    ),
    "A protected target is left alone, also when it was protected after a yes": Break(
        "act/during.py", "protected = engine.protected(run.target)", "protected = False"
    ),
    "`observe` changes nothing": Break(
        "act/before.py",
        '    if run.mode is Mode.OBSERVE:\n        return Next(advance(run, "observe"',
        '    if run.mode is Mode.DISABLED:\n        return Next(advance(run, "observe"',
    ),
    "Without its store nothing starts": Break(
        _EFFECTS,
        "    refusal = await engine.store.intend(run, attempt.record, "
        "replace(attempt.authority, evidence_at=look.at))\n",
        "    try:\n"
        "        refusal = await engine.store.intend(run, attempt.record, "
        "replace(attempt.authority, evidence_at=look.at))\n"
        "    except Exception:\n"
        "        refusal = None\n",
    ),
    "A connection that hangs holds up no other": Break(
        "act/actor.py",
        "self._concurrency - (len(self._under_way) - len(slow))",
        "self._concurrency - len(self._under_way)",
    ),
    "After an answer that was lost, nobody knows what a channel shows, and the state is told again": Break(
        "app/masked.py", "_MaskedWithoutEdits if isinstance(notifier, WithoutEdits) else _Masked", "_Masked"
    ),
    "A person is called once, and let go when it is clear": Break(
        "notifiers/pagerduty.py", 'bool(news.page) != (told.get("triggered") is True)', "bool(news.page)"
    ),
    "What a channel does uses up no message": Break(
        "tell/courier.py",
        'tell_later(item, at, "", receipt, doubtful=error.uncertain)',
        "tell_later(item, at, str(error), receipt, doubtful=error.uncertain)",
    ),
    "A page waits for the fix, but not for ever": Break(
        "decide/slices.py", "= self.now + self.desk.rules.page_after", "= self.now"
    ),
    "Secrets are recognised": Break(
        "act/plan.py", "if engine.holds_secret(snapshot.image) or engine.holds_secret(after):", "if snapshot is None:"
    ),
    "What is changed of a sealed audit log shows": Break(
        "domain/seals.py", "if segment.hash != hash_of(segment, entries):", "if not segment.hash:"
    ),
    "What is committed late is sealed as well": Break(
        "stores/core/sealing.py", "        if gaps:\n", "        if len(gaps) > 1000:\n"
    ),
    "A server is who its certificate says": Break(
        "settings/http.py",
        "    named.verify_flags = usual.verify_flags\n",
        "    named.verify_flags = usual.verify_flags\n    named.check_hostname = False\n",
    ),
}
