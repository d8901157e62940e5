"""What the strategy does, with a fake move beneath it: `make test`."""

import native  # Before anything else.
import unittest
from unittest.mock import Mock, call

from app import Strategy
from wit_world.imports.session import Power, Sameness
from wit_world.imports.types import Setting

SETTINGS = [Setting("downtime", "500")]


class Moves(unittest.TestCase):
    def steps(self, sameness):
        fake = Mock()
        fake.facts.return_value.volumes = [Mock(sameness=sameness, disc=False)]
        fake.next_sample.side_effect = [Mock(transferred=1, remaining=2), None]
        outcome = Strategy().run(fake, SETTINGS)
        self.assertIs(outcome, fake.switch_over.return_value)
        self.assertIn(call.progress(1, 3, "memory"), fake.mock_calls)
        return [name for name, _, _ in fake.mock_calls if name not in ("facts", "progress")]

    def test_a_guest_is_sent_and_handed_over(self):
        sent = ["precopy", "next_sample", "next_sample", "switch_over"]
        self.assertEqual(self.steps(Sameness.PROVEN), ["reserve", *sent])
        self.assertEqual(self.steps(Sameness.UNKNOWN), ["reserve", "copy_volumes", *sent])

    def test_one_that_is_off_is_not_for_it(self):
        self.assertEqual(Strategy().check(Mock(power=Power.RUNNING), SETTINGS), [])
        self.assertEqual(len(Strategy().check(Mock(power=Power.OFF, domain="d"), SETTINGS)), 1)
