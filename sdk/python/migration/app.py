"""A domain that moves while its guest runs, without waiting for more than one round of its memory.

What each step does, and which may follow which, is in wit/deps/fief-migration.
"""

from fief import setting
from wit_world import exports
from wit_world.imports.session import Limits, Power, Sameness
from wit_world.imports.types import Finding, Severity


class Strategy(exports.Strategy):
    def check(self, facts, settings):
        if facts.power == Power.RUNNING:
            return []
        return [Finding(Severity.BLOCKER, "not-running", facts.domain, "its guest does not run", "choose another strategy")]

    def run(self, migration, settings):
        migration.reserve()
        # Volumes that have to go along, because the target does not reach them.
        there = (Sameness.PROVEN, Sameness.CLAIMED)
        if any(volume.sameness not in there and not volume.disc for volume in migration.facts().volumes):
            migration.copy_volumes()
        migration.precopy(Limits(None, int(setting(settings, "downtime")), True, 1, False))
        # None: what is left fits the downtime.
        while (sample := migration.next_sample()) is not None:
            migration.progress(sample.transferred, sample.transferred + sample.remaining, "memory")
        return migration.switch_over()
