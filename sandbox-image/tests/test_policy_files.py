"""Files: in `strict` libraries write and read them, all alike under plain relative names."""

import unittest

from policy import check

# Each writes or reads the file of the name; how it is called is all the same.
USES = {
    "pathlib": "from pathlib import Path\nPath(NAME).write_text('x')",
    "pathlib, of the working folder": "from pathlib import Path\nPath('.').joinpath(NAME).write_bytes(b'x')",
    "pathlib, by operator": "from pathlib import Path\n(Path('.') / (NAME)).read_text()",
    "pathlib, renamed": "from pathlib import Path\nPath('a').rename(NAME)",
    "sqlite3": "import sqlite3\nsqlite3.connect(NAME)",
    "sqlite3, by keyword": "import sqlite3\nsqlite3.connect(database=NAME)",
    "logging": "import logging\nlogging.basicConfig(level=10, filename=NAME)",
    "logging handler": "import logging\nlogging.FileHandler(NAME)",
    "logging handler that rotates": "from logging.handlers import RotatingFileHandler as H\nH(filename=NAME)",
    "XML": "import xml.etree.ElementTree as ET\nET.ElementTree(root).write(NAME)",
    "XML, named": "from xml.etree import ElementTree\ntree = ElementTree.ElementTree(r)\ntree.write(NAME)",
    "XML, parsed": "import xml.etree.ElementTree as ET\nET.parse(NAME)",
    "numpy": "import numpy as np\nnp.savetxt(NAME, [1])",
    "numpy, by keyword": "import numpy as np\nnp.save(file=NAME, arr=[1])",
    "numpy, compressed": "from numpy import savez_compressed as z\nz(NAME, a=1)",
    "numpy, method": "x.tofile(NAME)",
    "pandas": "frame.to_csv(NAME)",
    "pandas, by keyword": "frame.to_json(path_or_buf=NAME)",
    "pandas, Excel": "frame.to_excel(NAME)",
    "pandas, read": "import pandas as pd\npd.read_csv(NAME)",
    "pandas, writer": "import pandas as pd\nwith pd.ExcelWriter(NAME) as w: pass",
    "matplotlib": "import matplotlib.pyplot as plt\nplt.savefig(NAME)",
    "matplotlib, figure": "fig.savefig(fname=NAME, dpi=90)",
    "pillow": "image.save(NAME)",
    "joblib": "import joblib\njoblib.dump(model, NAME)",
    "plotly": "fig.write_html(NAME)",
    "zipfile": "import zipfile\nzipfile.ZipFile(NAME, 'w')",
    "zipfile, member": "import zipfile\nwith zipfile.ZipFile('x.zip') as z:\n    z.write(NAME)",
    "tarfile": "import tarfile\ntarfile.open(NAME)",
    "wave": "import wave\nwave.open(NAME, 'wb')",
    "networkx": "import networkx as nx\nnx.write_gml(graph, NAME)",
    "profile": "stats.dump_stats(NAME)",
}

OUTSIDE = {
    "absolute": "'/tmp/x.csv'",
    "home": "'~/x.csv'",
    "upwards": "'../x.csv'",
    "upwards in between": "'a/../../x.csv'",
    "Windows": "'C:\\\\x.csv'",
    "joined": "'/tmp/' + name",
    "f-string": "f'/tmp/{name}.csv'",
    "f-string that climbs": "f'{name}/../x.csv'",
    "joined that climbs": "name + '/../x.csv'",
    "formatted": "'/tmp/{}.csv'.format(name)",
    "percent": "'/tmp/%s' % name",
    "join of text": "'/'.join(['', 'tmp', name])",
    "folded": "'/t' 'mp' + '/x.csv'",
    "either": "'x.csv' if y else '/tmp/x.csv'",
}

INSIDE = ("'x.csv'", "'out/x.csv'", "name", "f'{name}.csv'", "'./x..csv'", "name + '.csv'", "buffer")


class PathTest(unittest.TestCase):
    def rules(self, code: str, profile: str = "strict") -> set[str]:
        return {violation.rule for violation in check(code, profile)}

    def test_all_that_write_and_read_are_held_to_the_working_folder_alike(self) -> None:
        for use, code in USES.items():
            for kind, name in OUTSIDE.items():
                for profile in ("strict", "standard"):
                    with self.subTest(use=use, name=kind, profile=profile):
                        self.assertEqual(
                            self.rules(code.replace("NAME", name), profile), {"path-outside-folder"}
                        )
            for name in INSIDE:
                with self.subTest(use=use, name=name):
                    self.assertEqual(self.rules(code.replace("NAME", name)), set())

    def test_a_path_that_is_made_first(self) -> None:
        for code in (
            "from pathlib import Path\nimport numpy as np\nnp.save(Path('/tmp') / name, x)",
            "from pathlib import PurePath as P\nframe.to_csv(P('/tmp', 'x'))",
            "from pathlib import PurePath\nframe.to_csv(str(PurePath('..') / 'x'))",
            "NAME = '/tmp/x.csv'\nframe.to_csv(NAME)",
            "FOLDER = '/tmp'\ndef f():\n    frame.to_csv(f'{FOLDER}/x.csv')",
            "FOLDER = '/tmp'\nframe.to_csv(FOLDER + '/x.csv')",
        ):
            with self.subTest(code=code):
                self.assertEqual(self.rules(code), {"path-outside-folder"})
        self.assertEqual(
            self.rules("import os\nopen(os.path.join('/tmp', name))", "standard"), {"path-outside-folder"}
        )
        # A name that may also be another file, or that `standard` code has and perhaps never uses.
        self.assertEqual(self.rules("name = '/tmp/x'\nname = 'x'\nframe.to_csv(name)"), set())
        self.assertEqual(self.rules("name = '/tmp/x'\nframe.to_csv(name)", "standard"), set())

    def test_addresses(self) -> None:
        for code in (
            "import pandas as pd\npd.read_csv('https://x.org/x')",
            "image.save('s3://bucket/x.png')",
        ):
            self.assertEqual(self.rules(code), {"network"})

    def test_what_only_looks_like_a_path(self) -> None:
        for code in (
            "print('/tmp/x')",
            "text.write('/tmp/x')",
            "class Store:\n    def save(self, path): pass\nStore().save('/users/1')",
            "from pathlib import PurePosixPath\nprint(PurePosixPath('/usr/bin/x').name)",
            "'/'.join(parts)",
            "import re\nre.sub('/', '..', x)",
            "import sqlite3\nsqlite3.connect(':memory:')",
            "import sqlite3\nsqlite3.connect('file::memory:?cache=shared', uri=True)",
        ):
            with self.subTest(code=code):
                self.assertEqual(self.rules(code), set())

    def test_open_and_its_like_are_the_one_way_that_strict_refuses(self) -> None:
        for code in (
            "open('x.txt', 'w')",
            "import io\nio.open('x.txt')",
            "import codecs\ncodecs.open('x.txt')",
            "from pathlib import Path\nPath('x.txt').open('w')",
            "from pathlib import Path\np = Path('a') / 'b'\np.open()",
            "from pathlib import Path\nPath.cwd().joinpath('x').open()",
            "from pathlib import Path\nfor p in sorted(Path('.').iterdir()):\n    p.open()",
            "from pathlib import Path\n[p.open() for p in Path('a').glob('*')]",
            "import gzip\ngzip.open('x.gz')",
            "import gzip\ngzip.GzipFile('x.gz', fileobj=None)",
            "import bz2\nbz2.open(name)",
        ):
            with self.subTest(code=code):
                self.assertEqual(self.rules(code), {"file-access"})
                self.assertEqual(self.rules(code, "standard"), set())

    def test_in_memory_they_are_allowed(self) -> None:
        for code in (
            "import gzip, io\nwith gzip.GzipFile(fileobj=io.BytesIO(), mode='wb') as f: f.write(b'x')",
            "import gzip, io\nbuffer = io.BytesIO(b'')\ngzip.open(buffer)",
            "from gzip import GzipFile\ndef f(raw):\n    return GzipFile(None, 'rb', fileobj=raw)",
            "import bz2, io\nbz2.BZ2File(io.BytesIO())",
            "import lzma, io\nwith lzma.open(io.BytesIO(), 'wb') as f: pass",
            "import io, zipfile\nwith zipfile.ZipFile(io.BytesIO(), 'w') as z: z.writestr('a.txt', 'x')",
            "import io, tarfile\ntarfile.open(fileobj=io.BytesIO(), mode='w:gz')",
        ):
            with self.subTest(code=code):
                self.assertEqual(self.rules(code), set())


# Each opens a file that the program was given, to read it.
READS_INPUT = {
    "open": "open('sales.csv')",
    "open, by keyword": "open(file='sales.csv', mode='r')",
    "open, of the working folder": "with open('./sales.csv', 'rt', newline='') as f:\n    f.read()",
    "open, into a reader": "import csv\nprint(list(csv.DictReader(open('sales.csv'))))",
    "open, by a name of it": "FILE = 'sales.csv'\ndef main():\n    with open(FILE, 'rb') as f: f.read()",
    "open, of a path": "from pathlib import Path\nopen(Path('sales.csv'))",
    "open, a name of any language": "open('売上 (1).csv')",
    "a path": "from pathlib import Path\nwith Path('sales.csv').open(encoding='utf-8') as f:\n    f.read()",
    "a path, by a name of it": "from pathlib import Path\nDATA = Path('sales.csv')\nDATA.open('rb')",
    "io": "import io\nio.open('sales.csv')",
    "codecs": "import codecs\ncodecs.open('sales.csv', 'r', 'utf-8')",
    "gzip": "import gzip\nwith gzip.open('sales.csv.gz', 'rt') as f:\n    f.read()",
    "gzip, imported by name": "from gzip import open as unzip\nunzip('sales.csv.gz')",
}

# Each opens something else, or not to read.
READS_NO_INPUT = {
    "to write": "open('sales.csv', 'w')",
    "to add": "open('sales.csv', mode='a')",
    "to change": "open('sales.csv', 'r+b')",
    "another": "open('other.csv')",
    "one above": "open('../sales.csv')",
    "one of another folder": "open('data/../../sales.csv')",
    "one that only runs tell": "def f(name):\n    open(name)",
    "a mode that only runs tell": "open('sales.csv', mode)",
    "by a name of two": "FILE = 'sales.csv'\nFILE = '/etc/passwd'\nopen(FILE)",
    "by an opener": "open('sales.csv', opener=steal)",
    "by arguments that nobody sees": "open(*arguments)",
    "by keywords that nobody sees": "open('sales.csv', **keywords)",
    "by another name of open": "read = open\nread('sales.csv')",
    "another path": "from pathlib import Path\nPath('other.csv').open()",
    "a path of two": "from pathlib import Path\nPath('data', 'sales.csv').open()",
    "a path, to write": "from pathlib import Path\nPath('sales.csv').open('w')",
}


class TestInputs(unittest.TestCase):
    """In `strict` a program opens the files that it was given, to read and by their names; nothing else."""

    INPUTS = ("sales.csv", "sales.csv.gz", "売上 (1).csv")

    def test_given_files_are_read(self) -> None:
        for name, code in READS_INPUT.items():
            with self.subTest(name):
                self.assertEqual(check(code, "strict", self.INPUTS), [])
                self.assertNotEqual(check(code, "strict"), [])

    def test_nothing_else_is_opened(self) -> None:
        for name, code in READS_NO_INPUT.items():
            with self.subTest(name):
                self.assertNotEqual(check(code, "strict", self.INPUTS), [])

    def test_the_message_says_how(self) -> None:
        [violation] = check("def f(name):\n    open(name)", "strict", self.INPUTS)
        self.assertIn("opened to read by its literal name, such as open('sales.csv')", violation.message)

    def test_the_rest_is_judged_as_ever(self) -> None:
        for code in ("import os\nopen('sales.csv')", "open('sales.csv').__class__.__subclasses__()"):
            with self.subTest(code):
                self.assertEqual(len(check(code, "strict", self.INPUTS)), 1)


if __name__ == "__main__":
    unittest.main()
