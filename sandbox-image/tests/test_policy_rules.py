"""The table of rules is sound, and `python3 -m policy` prints what it finds."""

import re
import subprocess
import sys
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

from policy import PROFILES, check
from policy.rules import TABLE, load

IMAGE = Path(__file__).parent.parent


class TableTest(unittest.TestCase):
    def test_each_entry_names_known_profiles_a_stable_id_and_what_to_use_instead(self) -> None:
        for entry in [*TABLE["names"], *TABLE["attributes"]]:
            with self.subTest(names=entry["names"]):
                self.assertEqual(set(entry), {"rule", "profiles", "names", "instead"})
                self.assertRegex(entry["rule"], r"^[a-z]+(-[a-z]+)*$")
                self.assertTrue(set(entry["profiles"]) <= set(PROFILES) and entry["profiles"])
                self.assertGreater(len(entry["instead"]), 20)
                self.assertLess(len(entry["instead"]), 300)

    def test_no_name_has_two_rules_in_one_profile(self) -> None:
        for section in ("names", "attributes"):
            for profile in PROFILES:
                names = [
                    name
                    for entry in TABLE[section]
                    if profile in entry["profiles"]
                    for name in entry["names"]
                ]
                self.assertEqual(sorted(names), sorted(set(names)))

    def test_standard_forbids_nothing_that_strict_allows(self) -> None:
        strict, standard = load("strict"), load("standard")
        for path in [*standard.names, *standard.stems]:
            self.assertIsNotNone(strict.for_path(path), path)
        self.assertLessEqual(set(standard.attributes), set(strict.attributes))

    def test_the_summary_for_the_system_prompt_speaks_of_what_is_forbidden(self) -> None:
        for profile in PROFILES:
            summary = TABLE["profiles"][profile]["summary"]
            self.assertLess(sum(map(len, summary)), 2_000)
            said = set(re.findall(r"\w+", " ".join(summary)))
            for name in ("subprocess", "input", "eval", "exec", "compile", "network", "__globals__"):
                self.assertIn(name, said)
        strict = " ".join(TABLE["profiles"]["strict"]["summary"])
        listed = re.search(r"Do not import (.*?)\.", strict)
        assert listed
        for module in re.split(r", | or ", listed[1]):
            self.assertNotEqual(check(f"import {module}"), [], module)


class CommandLineTest(unittest.TestCase):
    def run_policy(self, code: str, *options: str) -> subprocess.CompletedProcess[str]:
        with TemporaryDirectory() as folder:
            (Path(folder) / "main.py").write_text(code, "utf-8")
            command = [sys.executable, "-m", "policy", f"{folder}/main.py", *options]
            return subprocess.run(command, cwd=IMAGE, capture_output=True, text=True, check=False)

    def test_violations(self) -> None:
        result = self.run_policy("x = 1\nimport os\n")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout, r"main\.py:2: `os` is not allowed: .* \[operating-system\]\n$")

    def test_profile(self) -> None:
        result = self.run_policy("import os\nprint(os.getcwd())\n", "--profile", "standard")
        self.assertEqual((result.returncode, result.stdout), (0, ""))

    def test_syntax_error(self) -> None:
        result = self.run_policy("if n = 1:\n    pass\n")
        self.assertEqual(result.returncode, 1)
        self.assertIn("main.py:1: SyntaxError: invalid syntax", result.stdout)

    def test_a_file_that_cannot_be_read(self) -> None:
        command = [sys.executable, "-m", "policy", "nowhere.py"]
        result = subprocess.run(command, cwd=IMAGE, capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn("nowhere.py cannot be read", result.stderr)


if __name__ == "__main__":
    unittest.main()
