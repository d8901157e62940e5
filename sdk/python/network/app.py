"""Cards that reach nothing: each guest has a network of its own, inside its hypervisor.

What each function is for, when it is called and what an error means is in wit/deps/fief-network.
"""

from fief import error, setting
from wit_world import exports
from wit_world.exports.mode import Port_User, UserPort
from wit_world.imports import types


class Mode(exports.Mode):
    def up(self, network):
        """There is nothing to build. A bridge would be asked of the host here."""

    def plug(self, network, nic):
        if nic.address is not None:
            raise error(types.ErrorCode_Unsupported(), f"nobody here gives out {nic.address}")
        return Port_User(UserPort(None, [], setting(network.settings, "restricted") == "true"))

    def check(self, network):
        return []
