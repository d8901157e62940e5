"""What the plugin does: `make test`. What it asked of the host would have a fake here."""

import native  # Before anything else.
import unittest

from app import Mode
from componentize_py_types import Err
from wit_world.exports.mode import Network, Nic
from wit_world.imports import types


class Cards(unittest.TestCase):
    def test_a_card_is_kept_from_everything_unless_the_operator_says_otherwise(self):
        nic = Nic("d", 0, "52:54:00:00:00:01", None)
        for said in ["true", "false"]:
            network = Network("n", "b", [types.Setting("restricted", said)])
            self.assertEqual(Mode().plug(network, nic).value.restricted, said == "true")
        nic.address = "10.0.0.1"
        self.assertRaises(Err, lambda: Mode().plug(network, nic))
        self.assertEqual(Mode().check(network), [])
