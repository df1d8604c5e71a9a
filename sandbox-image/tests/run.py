"""Runs the tests of this folder and writes `{"passed", "failed", "skipped"}` to the file of --report."""

import argparse
import json
import sys
import unittest
from pathlib import Path


class CountingResult(unittest.TextTestResult):
    """Counts the tests that passed, which unittest does not."""

    passed = 0

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.passed += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path)
    parser.add_argument(
        "patterns", nargs="*", default=["test_*.py"], help="files to run, such as test_policy*.py"
    )
    arguments = parser.parse_args()
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here.parent))
    load = unittest.defaultTestLoader.discover
    suite = unittest.TestSuite(load(str(here), one, str(here)) for one in arguments.patterns)
    result = unittest.TextTestRunner(resultclass=CountingResult, verbosity=1).run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    counts = {"passed": result.passed, "failed": failed, "skipped": len(result.skipped)}
    if arguments.report:
        arguments.report.write_text(json.dumps(counts))
    return 0 if result.wasSuccessful() and result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
