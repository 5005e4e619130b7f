"""Exit codes, the same for every command."""

from enum import IntEnum


class Exit(IntEnum):
    """0 ok, 1 findings or a failed run, 2 usage or configuration, 3 internal or unreachable, 4 unknown outcome.

    An id that is not there is a finding.
    """

    OK = 0
    FINDINGS = 1
    USAGE = 2
    UNREACHABLE = 3
    UNKNOWN = 4
