"""Runs a command on a machine until it ends: ships, starts, polls; makes again what was lost.

The command runs under a supervisor on each worker, so that a lost connection ends nothing. What is tried again is said
by the kind of trouble (`trouble.py`): the run on the same machine, the run on a new machine, or nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from launch.cloud import machine as machines
from launch.cloud import plan, ship, trouble, workers
from launch.cloud.gcloud import Cloud
from launch.cloud.holder import Holder, over
from launch.cloud.machine import Patience
from launch.cloud.state import Folder, Record
from launch.cloud.trouble import MACHINE, NO, RUN, Stopped, Trouble
from launch.cloud.workers import Report
from w2v_jax.files import write_text

_SETTLE_S = 60.0  # between a first failure and the verdict: the machine may be going away


@dataclasses.dataclass(frozen=True)
class Limits:
    """How often and how long is tried."""

    keep_alive: bool = False  # makes the machine again
    max_tries: int = 3  # starts of the run, all together


class Watch(Holder):
    """One run of one machine, as the command `run` or `attach` sees it."""

    def __init__(
        self, cloud: Cloud, folder: Folder, record: Record, patience: Patience, limits: Limits, adopt: bool = False
    ) -> None:
        super().__init__(cloud, folder, record, patience, adopt)
        self.limits = limits
        self._printed: dict[str, list[str]] = {}
        self._progress_at_failure = -1

    # ---- the whole run ----

    def run(self, source: ship.Source) -> Trouble | None:
        """Until the run has ended: None when it ended well, otherwise why not.

        KeyboardInterrupt: while the machine was waited for, its request has been withdrawn; later the run goes on.
        """
        pause, rounds = 15.0, 0
        while True:
            rounds += 1
            try:
                self.bring_up()
                self._start(source)
                found = self.follow()
            except Stopped as e:
                found = e.trouble
            found = self.truly(found)
            if found is None or found.retry == NO or self.record.withdrawn:
                return found
            if found.retry == MACHINE and not self.limits.keep_alive:
                return found
            tries = max(self.record.tries, rounds)
            if tries >= self.limits.max_tries:
                if self.limits.max_tries == 1:
                    return found
                return given_up(found, f"gave up after {tries} tries; the last: {found.sentence}")
            if self.seconds_left() <= 0:
                return over(self.record)
            self.cloud.tell(f"{found.sentence}\ntrying again ({tries} of {self.limits.max_tries} tries made)")
            if found.retry == MACHINE:
                try:
                    machines.remove(self.cloud, self.record.machine, self.patience)
                except Stopped as e:
                    return e.trouble
            self.cloud.clock.sleep(pause)
            pause = min(2 * pause, 600.0)

    def truly(self, found: Trouble | None) -> Trouble | None:
        """Where a machine ended its run or itself as its paid hours were over, that is the reason."""
        ended = found is not None and (found.key == "preempted" or "(ended by signal 15)" in found.sentence)
        return over(self.record) if ended and self.seconds_left() <= 0 else found

    # ---- ship and start ----

    def reach(self) -> None:
        """Copies the agent to every worker and hears from each. Stopped: as `_copy`."""
        folder = self.folder.room(self.record.machine.name) / "bundle"
        folder.mkdir(parents=True, exist_ok=True)
        ship.pack_agent(folder / plan.AGENT)
        self._copy([str(folder / plan.AGENT)])
        self._reports("poll", reach_s=self.patience.reach_s)

    def _copy(self, files: Sequence[str]) -> None:
        """Copies files to every worker. Stopped: some cannot be reached, or the machine is gone."""
        machine = self.record.machine
        until = self.cloud.clock.now() + self.patience.reach_s
        while any(d.status for d in workers.copy(self.cloud, machine, files)):
            if (why := machines.gone(self.cloud, machine)) is not None:
                raise Stopped(why)
            if self.cloud.clock.now() > until:
                reports = [Report(i, w, None) for i in range(machine.slices) for w in range(machine.piece.hosts)]
                raise Stopped(trouble.missing(reports, machine))
            self.cloud.clock.sleep(self.patience.poll_s)

    def _start(self, source: ship.Source) -> None:
        """Copies everything to every worker and starts the run there, unless this run goes on already."""
        record, machine = self.record, self.record.machine
        if record.run_id and not record.outcome:  # of an earlier launcher: it may be running
            reports = self._reports("poll", reach_s=0)
            if (
                reports
                and all(r.answer and r.answer.get("id") == record.run_id for r in reports)
                and not any(r.state in ("none", "lost") or r.failed for r in reports)
            ):
                self.cloud.tell(f"{machine.name}: the run {record.run_id} is there; following it")
                return
        record.tries += 1
        self._printed.clear()
        record.run_id = f"{machine.name}-{int(self.cloud.clock.now())}-{record.tries}"
        record.commit, record.tree, record.outcome = source.commit, source.tree, ""
        self.save()
        run = ship.Run(
            record.run_id, record.argv, source, self.seconds_left(), plan.delete(machine), self.patience.install_s
        )
        ship.note(run, self.folder.room(machine.name) / "runs" / record.run_id)
        files = ship.pack(run, self.folder.room(machine.name) / "bundle")
        self._copy(files)
        self._reports("start", reach_s=self.patience.reach_s)
        self.cloud.tell(
            f"{machine.name}: the run {record.run_id} is started on {plan.count(machine.workers, 'worker')}"
        )

    def _reports(self, verb: str, *words: str, reach_s: float) -> list[Report]:
        """What the workers answer. Stopped: some are silent for `reach_s` seconds, or the machine is gone. With
        `reach_s` = 0 silence is returned."""
        machine = self.record.machine
        until = self.cloud.clock.now() + reach_s
        while True:
            slow = verb in ("start", "stop")  # an earlier run may have to save first
            reports, _ = workers.ask(self.cloud, machine, verb, *words, seconds=300 if slow else 120)
            if all(r.answer is not None for r in reports) or not reach_s:
                return reports
            if (why := machines.gone(self.cloud, machine)) is not None:
                raise Stopped(why)
            if self.cloud.clock.now() > until:
                raise Stopped(trouble.missing(reports, machine))
            self.cloud.clock.sleep(self.patience.poll_s)

    # ---- follow ----

    def follow(self) -> Trouble | None:
        """Polls until the run has ended: None when every worker ended well."""
        machine, now = self.record.machine, self.cloud.clock.now
        moved, size, step = now(), -1, -1
        while True:
            if self.withdrawn():
                return Trouble(
                    "withdrawn", f"{machine.name} was taken down by another command", "nothing is left to do"
                )
            reports = self._reports("poll", f"lines={workers.LINES}", reach_s=self.patience.reach_s)
            self._show(reports)
            states = {r.state for r in reports}
            if states == {"ended"} and not any(r.failed for r in reports):
                return None
            if any(_gone(r) for r in reports) and (why := self._failure(reports)) is not None:
                return why
            size, step, moved = self._moved(reports, size, step, moved)
            if now() - moved > (self.patience.hung_s if step >= 0 else self.patience.startup_s):
                return self._hung(reports, now() - moved)
            if self.seconds_left() <= 0:
                self._reports("stop", reach_s=0)
                return over(self.record)
            self.cloud.clock.sleep(self.patience.poll_s)

    def withdrawn(self) -> bool:
        latest = self.folder.load(self.record.machine.name)
        self.record.withdrawn = latest is None or latest.withdrawn
        if latest is not None:  # another command may have made the machine again
            self.record.until, self.record.queued = latest.until, latest.queued
        return self.record.withdrawn

    def _moved(self, reports: Sequence[Report], size: int, step: int, moved: float) -> tuple[int, int, float]:
        """Notes progress: a later step, or, before the first one, any output."""
        steps = [r.answer["step"] for r in reports if r.answer and r.answer.get("step") is not None]
        latest = max(steps, default=-1)
        total = sum(int(r.answer.get("size", 0)) for r in reports if r.answer)
        if latest > step or (step < 0 and total > size):
            moved = self.cloud.clock.now()
        if latest > self.record.progress:
            self.record.progress = latest
            self.save()
        return total, max(step, latest), moved

    def _failure(self, reports: Sequence[Report]) -> Trouble | None:
        """Why a run that did not end well ended, after the others were ended too; None where a second look finds that
        it goes on."""
        machine, before = self.record.machine, self.record.progress
        self.cloud.clock.sleep(min(_SETTLE_S, 3 * self.patience.poll_s))
        if (why := machines.gone(self.cloud, machine)) is not None:
            return why
        latest = self._reports("poll", "lines=40", reach_s=0)
        reports = [b if b.answer else a for a, b in zip(reports, latest, strict=True)]
        if not any(_gone(r) for r in reports):
            return None
        self._reports("stop", reach_s=0)
        if not any(r.failed for r in reports):
            lost = next(r for r in reports if _gone(r))
            who = lost.name(machine.slices)
            again = f"python -m launch.tpu run {machine.name} --yes goes on from the checkpoint"
            return Trouble("lost", f"{who} was restarted, or its supervisor killed: the run is gone there", again, RUN)
        found = trouble.of_failed(reports, machine)
        if found.key == "failed" and before <= self._progress_at_failure:
            return found._replace(retry=NO)  # the same end twice, without a step between
        self._progress_at_failure = max(before, 0)
        return found

    def _hung(self, reports: Sequence[Report], seconds: float) -> Trouble:
        """Asks every rank for its stacks, keeps them, and ends the run."""
        machine = self.record.machine
        dumped = self._reports("dump", "lines=400", reach_s=0)
        file = self.folder.room(machine.name) / f"stacks-{self.record.tries}.txt"
        write_text(file, "".join(self._section(r) for r in dumped))
        self._reports("stop", reach_s=0)
        return trouble.hung(machine, seconds, str(file))

    def _section(self, report: Report) -> str:
        lines = report.tail or [f"no answer: {report.said}"]
        return f"==== {report.name(self.record.machine.slices)}\n" + "\n".join(lines) + "\n"

    def _show(self, reports: Sequence[Report]) -> None:
        """Prints what worker 0 has printed since; of the others only their end."""
        for report in reports:
            name = report.name(self.record.machine.slices)
            rank = trouble.rank_of(report, self.record.machine)
            first = rank == 0 and report.state != "installing"
            lines = report.tail if first else []
            before = self._printed.get(name, [])
            logs = f"python -m launch.tpu logs {self.record.machine.name} --worker={rank} --lines=400"
            for line in workers.new_lines(before, lines, f"... some lines are left out here; {logs}"):
                self.cloud.tell(f"[{name}] {line}")
            if lines:
                self._printed[name] = lines
            if report.state == "ended" and f"{name} ended" not in self._printed and report.answer:
                self._printed[f"{name} ended"] = []
                self.cloud.tell(f"[{name}] ended with exit status {report.answer.get('status')}")


def _gone(report: Report) -> bool:
    """Whether a worker's run failed, or is not there any more."""
    return report.failed or report.state in ("lost", "none")


def given_up(found: Trouble, sentence: str) -> Trouble:
    return found._replace(sentence=sentence, retry=NO)
