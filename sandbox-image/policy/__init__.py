"""The policy: rules that Python code must pass before it is run, checked on its syntax tree alone.

`rules.json` is the one table of what is forbidden in which profile, with what to use instead; it also holds
the sentences that state the policy to a model. The sandbox is the boundary that holds; the policy finds in
milliseconds, and with a better message, what the sandbox would stop.
"""

from policy.checker import Violation, check, standard_permits
from policy.rules import PROFILES

__all__ = ["PROFILES", "Violation", "check", "standard_permits"]
