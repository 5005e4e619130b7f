"""Binding a run to the target that was looked up for it: it has that target then, or another run has its alerts.

Two runs of a playbook that turn out to have one target at the same moment wait for each other here: the first has it,
the second joins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from responder.domain.causes import touched_since
from responder.domain.episodes import Decision
from responder.domain.ids import new_id
from responder.domain.modes import Mode
from responder.domain.runs import JOINABLE, Run
from responder.domain.verdicts import Verdict
from responder.ports.store import Audit, Bound
from responder.stores.core import rows
from responder.stores.core.database import Database, Dirty, Gone, Order, Patch, Rows, Write
from responder.stores.core.part import Part, audit_values
from responder.stores.core.sight import held_rows, ids_given, is_ours, lost
from responder.stores.core.slice_statements import SliceStatements
from responder.stores.core.slices import COUNTING, SqlSlice, decision_values
from responder.stores.core.targets import lock_targets
from responder.stores.schema import audit, decisions, episodes, run_episodes, runs

_JOINABLE = frozenset(state.value for state in JOINABLE)


class BindingPart(Part):
    """Binds runs to their targets."""

    def __init__(self, db: Database) -> None:
        """Build the statements."""
        super().__init__(db)
        self._near = SliceStatements(db)

    async def bind(self, run: Run) -> Bound:
        """Write the target that was looked up, or give the run's alerts to another run that has it."""
        async with self.db.writing(Order.RECORD) as tx:
            await lock_targets(self.db, tx, [run])
            other = await self._other(tx, run)
            held = await self._held(tx, run, other)
            if not is_ours(held, run):
                raise lost(run)
            served = await self._served(tx, run)
            if other is not None and held[other.id].state in _JOINABLE:
                await self._join(tx, run, other, [row.id for row in served])
                return Bound(joined=str(other.id))
            writes: list[Write] = [
                Patch(runs, [{"id": run.id, **rows.run_changes(run)}]),
                Rows(audit, audit_values(self.now(), [Audit("run.bound", run.id, details={"target": run.target})])),
                Dirty([run.incident_id], self.now()),
            ]
            await self.db.write_rows(tx, writes)
            await self._name_target(tx, run)
            return await self._bound(tx, run, served)

    async def _other(self, tx: AsyncConnection, run: Run) -> Row[Any] | None:
        """Return the run of this playbook on this target that goes on; what only watches does not act for others."""
        query = (
            select(runs.c.id, runs.c.incident_id)
            .where(
                runs.c.target == run.target,
                runs.c.finished_at.is_(None),
                runs.c.playbook == run.playbook,
                runs.c.id != run.id,
                runs.c.kind == "forward",
                runs.c.state.in_(sorted(_JOINABLE)),
                (runs.c.mode == run.mode.value) | (runs.c.mode != Mode.OBSERVE.value),
            )
            .order_by(runs.c.created_at, runs.c.id)
            .limit(1)
        )
        return cast("Row[Any] | None", (await tx.execute(query)).one_or_none())

    async def _held(self, tx: AsyncConnection, run: Run, other: Row[Any] | None) -> Mapping[str, Row[Any]]:
        """Lock the run and the one that it may join, in the order of ids as everybody does."""
        if other is None:
            return await held_rows(self.db, self.prepared, tx, [run])
        given = ids_given(self.db, (run.id, other.id))
        return {row.id: row for row in await self.db.fetch(tx, self.prepared.held, given)}

    async def _served(self, tx: AsyncConnection, run: Run) -> Sequence[Row[Any]]:
        query = (
            select(episodes.c.id, episodes.c.starts_at, episodes.c.opened_at)
            .select_from(run_episodes.join(episodes, episodes.c.id == run_episodes.c.episode_id))
            .where(run_episodes.c.run_id == run.id)
            .order_by(episodes.c.id)
        )
        return cast("Sequence[Row[Any]]", (await tx.execute(query)).all())

    async def _join(self, tx: AsyncConnection, run: Run, other: Row[Any], served: Sequence[str]) -> None:
        """Give the alerts away; the run itself ends in its own last transaction, whoever gets to write that."""
        now = self.now()
        left = replace(run, progress=run.progress.model_copy(update={"joined": other.id}))
        reason = f"{Verdict.JOINED.sentence} Run {other.id}."
        decided = [
            Decision(one, run.playbook, Verdict.JOINED.value, reason, now, run.target, other.id) for one in served
        ]
        entries = [Audit("run.joined", other.id, details={"episode": one, "from": run.id}) for one in served]
        writes: list[Write] = [
            Patch(runs, [{"id": run.id, **rows.run_changes(left)}]),
            Rows(run_episodes, [{"run_id": other.id, "episode_id": one} for one in served], ("run_id", "episode_id")),
            Rows(
                decisions,
                [decision_values(new_id(), one) for one in decided],
                ("episode_id", "playbook", "verdict"),
                COUNTING,
            ),
            Rows(audit, audit_values(now, entries)),
            Dirty([run.incident_id, other.incident_id], now),
        ]
        await self.db.write_rows(tx, writes)
        await self.db.write_rows(tx, [Gone(run_episodes, [{"run_id": run.id}])])
        await self._name_target(tx, run)

    async def _name_target(self, tx: AsyncConnection, run: Run) -> None:
        """Let what was decided about the run name its target, too: how many targets are sick is counted by that."""
        await tx.execute(update(decisions).where(decisions.c.run_id == run.id).values(target=run.target))

    async def _bound(self, tx: AsyncConnection, run: Run, served: Sequence[Row[Any]]) -> Bound:
        """Return what has been changed near the target lately: the alert may come of it."""
        begins = [min(row.starts_at, row.opened_at) for row in served]
        if not begins:
            return Bound()
        began = min(begins)
        since = touched_since([began], self.now())
        near = await SqlSlice(self.db, self.prepared, self._near, tx).runs_near([run.target], (), since)
        own = {row.id for row in served}
        return Bound(near=tuple(one for one in near if one.id != run.id and not own & one.episodes), began=began)
