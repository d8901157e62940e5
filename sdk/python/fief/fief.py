"""Settings, errors and the log: what plugins in Python need beside the bindings (wit_world, made from wit/)."""

from componentize_py_types import Err
from wit_world.imports import log, types


def setting(settings, key):
    """The value of a setting, as a text; empty where the operator left it out."""
    return next((setting.value for setting in settings if setting.key == key), "")


def error(code, message):
    """What a function raises that fails: `raise error(types.ErrorCode_NotFound(), "there is no such volume")`."""
    return Err(types.Error(code, message, types.Retry_Never()))


def warn(message, **fields):
    """A line in the plugin's log."""
    log.write(log.Level.WARN, message, [(key, str(value)) for key, value in fields.items()])
