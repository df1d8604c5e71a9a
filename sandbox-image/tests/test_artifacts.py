"""What leaves a sandbox as a file, and what does not."""

import hashlib
import importlib.util
import os
import tempfile
import unittest

from sandbox import artifacts
from sandbox_process import SandboxProcess


class ArtifactsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.sandbox.close()

    def names(self, result: dict) -> list[str]:
        return [one["name"] for one in result["artifacts"]]

    def skipped(self, result: dict) -> dict[str, str]:
        return {one["name"]: one["reason"] for one in result["artifacts_skipped"]}

    def test_files_are_uploaded_before_the_result(self) -> None:
        result = self.sandbox.run(
            """
            import os
            os.makedirs("data/raw")
            open("table.csv", "w").write("a,b\\n1,2\\n")
            open("data/raw/bytes.bin", "wb").write(bytes(range(256)) * 1000)
            open("ä €.txt", "w").write("unicode")
            open("empty", "w").close()
            """
        )
        self.assertEqual(self.names(result), ["data/raw/bytes.bin", "empty", "table.csv", "ä €.txt"])
        table = next(one for one in result["artifacts"] if one["name"] == "table.csv")
        self.assertEqual(table, {"name": "table.csv", "size": 8, "content_type": "text/csv"})
        self.assertEqual(self.sandbox.artifact(result, "data/raw/bytes.bin"), bytes(range(256)) * 1000)
        self.assertEqual(self.sandbox.artifact(result, "ä €.txt"), b"unicode")
        names = self.sandbox.mailbox.names()
        job_id = result["job_id"]
        self.assertLess(names.index(f"artifacts/{job_id}/table.csv"), names.index(f"results/{job_id}.json"))

    def test_files_of_a_failed_attempt_and_files_left_open_are_kept(self) -> None:
        result = self.sandbox.run("f = open('log.txt', 'w')\nf.write('so far')\ng = [f]; g.append(g)\n1 / 0")
        self.assertEqual(self.names(result), ["log.txt"])
        self.assertEqual(self.sandbox.artifact(result, "log.txt"), b"so far")

    def test_hidden_files_and_caches_stay(self) -> None:
        result = self.sandbox.run(
            """
            import os, tempfile
            os.mkdir("__pycache__"); os.mkdir(".cache")
            for name in (".hidden", "__pycache__/x.pyc", ".cache/y", "seen"):
                open(name, "w").close()
            tempfile.NamedTemporaryFile(delete=False).close()
            """
        )
        self.assertEqual((self.names(result), result["artifacts_skipped"]), (["seen"], []))

    def test_only_regular_files_with_one_link(self) -> None:
        secret = f"{self.sandbox.work_dir}/secret"
        with open(secret, "w", encoding="ascii") as file:
            file.write("not for you")
        self.addCleanup(os.remove, secret)
        result = self.sandbox.run(
            f"""
            import os
            open("good", "w").write("good")
            open("linked", "w").close(); os.link("linked", "twin")
            os.symlink({secret!r}, "symlink"); os.symlink("/etc", "folder"); os.symlink("good", "inner")
            os.mkfifo("fifo")
            try:
                os.mknod("device", 0o666 | 0o020000, os.makedev(1, 3))
            except PermissionError:
                print("no device")
            """
        )
        self.assertEqual((self.names(result), result["output"]), (["good"], "no device\n"))
        skipped = self.skipped(result)
        self.assertEqual(set(skipped), {"linked", "twin", "symlink", "folder", "inner", "fifo"})
        self.assertEqual(skipped["symlink"], "not a regular file")
        self.assertEqual(skipped["twin"], "a file with several links")

    def test_limits(self) -> None:
        result = self.sandbox.run(
            """
            open("0-huge", "wb").write(b"x" * (10 * 2 ** 20 + 1))
            open("1-big", "wb").write(b"x" * 10 * 2 ** 20)
            open("2-big", "wb").write(b"y" * 10 * 2 ** 20)
            open("3-big", "wb").write(b"z" * 10 * 2 ** 20)
            for n in range(30):
                open(f"small-{n:02}", "w").write(str(n))
            """
        )
        self.assertEqual(len(self.names(result)), artifacts.MOST_FILES)
        self.assertEqual(self.names(result)[:2], ["1-big", "2-big"])
        skipped = self.skipped(result)
        self.assertEqual(skipped["0-huge"], "larger than 10 MB")
        self.assertEqual(skipped["3-big"], "more than 25 MB in all")
        self.assertEqual(skipped["small-29"], "more than 20 files")
        digest = hashlib.sha256(self.sandbox.artifact(result, "2-big")).hexdigest()
        self.assertEqual(digest, hashlib.sha256(b"y" * 10 * 2**20).hexdigest())

    def test_names_and_folders_that_are_traps(self) -> None:
        result = self.sandbox.run(
            """
            import os
            print(os.path.basename(os.getcwd()))
            open(b"no-\\xff-utf8", "w").close(); open("line\\nbreak", "w").close()
            open("back\\\\slash", "w").close()
            os.makedirs("long/" + "n" * 195); open("long/" + "n" * 195 + "/file", "w").close()
            for _ in range(1000):
                os.mkdir("deep"); os.chdir("deep")
            open("bottom", "w").close()
            os.chdir(os.environ["HOME"]); os.mkdir("closed"); os.chmod("closed", 0)
            """
        )
        self.assertTrue(result["success"], result["error"])
        self.assertEqual(self.names(result), [])
        reasons = " ".join(self.skipped(result).values())
        for reason in ("characters that are not allowed", "longer than 200", "more than 20 deep"):
            self.assertIn(reason, reasons)
        self.assertTrue(self.sandbox.run("print('the folder was removed')")["success"])
        base = next(name for name in os.listdir(self.sandbox.work_dir) if name.startswith("sandbox-"))
        self.assertNotIn(result["output"].strip(), os.listdir(f"{self.sandbox.work_dir}/{base}"))

    def test_odd_names_are_names(self) -> None:
        names = [
            "data:text/x y,1",
            "${filename}",
            "100%.txt",
            "%2e%2e",
            " both ends ",
            "a?b#c&d=e+f",
            "😀" * 60,
            "A",
            "a",
        ]
        code = "import os\nos.mkdir('data:text')\n"
        code += f"for name in {names!r}:\n    with open(name, 'w') as file:\n        file.write(name)"
        result = self.sandbox.run(code)
        self.assertEqual((sorted(self.names(result)), result["artifacts_skipped"]), (sorted(names), []))
        for one in result["artifacts"]:
            self.assertIn(one["content_type"], ("application/octet-stream", "text/plain"))
            self.assertEqual(self.sandbox.artifact(result, one["name"]), one["name"].encode())
        uploaded = [name for name in self.sandbox.mailbox.names() if result["job_id"] in name]
        self.assertFalse([name for name in uploaded if "$" in name or " " in name or "?" in name])

    def test_size_of_the_folder_is_measured_without_following_links(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            os.symlink("/usr", f"{folder}/usr")
            os.mkdir(f"{folder}/inner")
            self.assertFalse(artifacts.is_too_large(folder, 2**20, 10))
            for number in range(10):
                os.mkdir(f"{folder}/inner/{number}")
            self.assertTrue(artifacts.is_too_large(folder, 2**20, 10))

    @unittest.skipUnless(importlib.util.find_spec("matplotlib"), "matplotlib is not installed")
    def test_showing_saves_every_open_figure_and_closes_it(self) -> None:
        plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\n"
        for code, names in {
            "plt.show(); plt.bar([1], [2]); plt.show()": ["figure-1.png", "figure-2.png"],
            "plt.figure(); plt.plot([3]); plt.show(block=False); print(plt.get_fignums())": [
                "figure-1.png",
                "figure-2.png",
            ],
            "plt.show(); plt.close()": ["figure-1.png"],
            "plt.gcf().show()": ["figure-1.png"],
            "plt.savefig('a.png')": ["a.png"],
            "plt.savefig('a.png'); plt.show()": ["a.png"],
            "plt.savefig('a.png'); plt.title('more'); plt.show()": ["a.png", "figure-1.png"],
            "import io; plt.savefig(io.BytesIO()); plt.show()": ["figure-1.png"],
            "open('figure-1.png', 'w').close(); plt.show()": ["figure-1.png", "figure-2.png"],
            "for n in range(3): plt.cla(); plt.plot([n]); plt.pause(0.01)": ["figure-1.png"],
            "plt.close('all')": [],
        }.items():
            with self.subTest(code):
                result = self.sandbox.run(plot + code, timeout=20)
                self.assertEqual((result["error"], self.names(result)), (None, names))

    @unittest.skipUnless(importlib.util.find_spec("matplotlib"), "matplotlib is not installed")
    def test_missing_font_is_told_once(self) -> None:
        code = """
            import matplotlib.pyplot as plt
            plt.rcParams["font.family"] = "No Such Font"
            plt.title("a"); plt.xlabel("b"); plt.ylabel("c"); plt.plot([1, 2])
            plt.show()
        """
        result = self.sandbox.run(code, timeout=20)
        self.assertEqual(result["output"], "findfont: Font family 'No Such Font' not found.\n")

    @unittest.skipUnless(importlib.util.find_spec("PIL"), "pillow is not installed")
    def test_image_that_is_shown_is_saved(self) -> None:
        code = "from PIL import Image\nfor mode in ('RGB', 'CMYK'): Image.new(mode, (4, 4)).show()"
        result = self.sandbox.run(code, timeout=20)
        self.assertEqual((result["error"], self.names(result)), (None, ["image-1.png", "image-2.png"]))

    @unittest.skipUnless(importlib.util.find_spec("matplotlib"), "matplotlib is not installed")
    def test_open_figures_become_pictures(self) -> None:
        result = self.sandbox.run(
            """
            import matplotlib.pyplot as plt
            plt.plot([1, 2, 3]); plt.title("one"); plt.show()
            plt.figure(); plt.bar([1], [2]); plt.savefig("mine.png")
            plt.figure(); plt.plot([3, 1])
            open("figure-1.png", "w").write("taken")
            plt.close(plt.figure())
            """
        )
        self.assertEqual(self.names(result), ["figure-1.png", "figure-2.png", "figure-3.png", "mine.png"])
        self.assertEqual(self.sandbox.artifact(result, "figure-1.png"), b"taken")
        self.assertTrue(self.sandbox.artifact(result, "figure-3.png").startswith(b"\x89PNG"))
        self.assertEqual(result["output"], "")


if __name__ == "__main__":
    unittest.main()
