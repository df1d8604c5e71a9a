"""What the service and a sandbox tell each other, as contract.json describes it.

That file is written from the service's own schemas (functions/sandbox/contract.ts): never change it by hand.
"""

import json
from pathlib import Path
from typing import Any

_CONTRACT = json.loads(Path(__file__).with_name("contract.json").read_bytes())

LIMITS: dict[str, int] = _CONTRACT["limits"]
DOCUMENTS: dict[str, Any] = _CONTRACT["documents"]
"""By name, the JSON Schema of each document."""
