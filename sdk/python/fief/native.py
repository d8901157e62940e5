"""For native tests, imported before anything else: a fake of what `async` functions run by, which wants Python 3.12."""

import sys
from unittest.mock import MagicMock

for part in ("", ".streams", ".futures"):
    sys.modules.setdefault("componentize_py_async_support" + part, MagicMock())
