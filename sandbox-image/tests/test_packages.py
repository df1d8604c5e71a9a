"""The packages of the image: that each works in the sandbox, and what is said of one that is missing."""

import ast
import importlib.util
import re
import sys
import textwrap
import unittest
from pathlib import Path
from typing import ClassVar

from sandbox import figures, packages
from sandbox_process import SandboxProcess

FOLDER = Path(__file__).resolve().parent.parent
IN_IMAGE = sys.prefix.startswith("/opt/sandbox")
MISSING = [name for name in packages.OFFERED if importlib.util.find_spec(name) is None]

#: A program for each package, as a person would ask for it; `left` names the files that it leaves.
PROGRAMS: dict[str, tuple[str, list[str]]] = {
    "numpy": (
        """
        import numpy as np
        a = np.random.default_rng(1).random((50, 50))
        assert np.allclose(np.linalg.inv(a) @ a, np.eye(50))
        np.save("a.npy", a)
        """,
        ["a.npy"],
    ),
    "pandas": (
        """
        import pandas as pd
        table = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=4), "sold": [1, 2, 3, 4]})
        print(table.groupby(table.day.dt.month).sold.agg(["mean", "max"]).to_markdown())
        table.to_csv("t.csv", index=False); table.to_excel("t.xlsx"); table.to_html("t.html")
        assert pd.read_excel("t.xlsx").sold.sum() == 10 and pd.read_html("t.html")[0].sold.sum() == 10
        table.style.background_gradient().to_html()
        """,
        ["t.csv", "t.html", "t.xlsx"],
    ),
    "matplotlib": (
        """
        import matplotlib.pyplot as plt
        from mpl_toolkits.mplot3d import Axes3D
        axes = plt.figure().add_subplot(projection="3d")
        axes.plot([0, 1], [0, 1], [0, 1])
        plt.savefig("p.png"); plt.savefig("p.svg"); plt.savefig("p.pdf")
        """,
        ["p.pdf", "p.png", "p.svg"],
    ),
    "sklearn": (
        """
        from sklearn.cluster import KMeans
        from sklearn.datasets import load_iris, make_blobs
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.manifold import TSNE
        from sklearn.mixture import GaussianMixture
        from sklearn.model_selection import GridSearchCV, cross_val_score
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        points, _ = make_blobs(60, centers=3, random_state=0)
        assert len(set(KMeans(3, n_init=3, random_state=0).fit_predict(points))) == 3
        GaussianMixture(3, random_state=0).fit(points)
        assert TSNE(perplexity=5, max_iter=250).fit_transform(points[:30]).shape == (30, 2)
        x, y = load_iris(return_X_y=True)
        assert cross_val_score(make_pipeline(StandardScaler(), KNeighborsClassifier()), x, y).mean() > 0.9
        forest = RandomForestClassifier(random_state=0)
        forest = GridSearchCV(forest, {"n_estimators": [5, 10]}, cv=2, n_jobs=-1)
        assert forest.fit(x, y).score(x, y) > 0.9
        """,
        [],
    ),
    "scipy": (
        """
        import numpy as np
        from scipy import integrate, interpolate, io, optimize, signal, sparse, stats
        assert abs(optimize.minimize(lambda x: (x - 3) ** 2, 0.0).x[0] - 3) < 1e-3
        assert stats.ttest_ind([1, 2, 3, 4], [11, 12, 13, 14]).pvalue < 0.01
        assert abs(integrate.quad(np.sin, 0, np.pi)[0] - 2) < 1e-9
        interpolate.CubicSpline([0, 1, 2], [0, 1, 4])(1.5); signal.butter(4, 0.2); sparse.eye(9).tocsr()
        io.savemat("m.mat", {"x": np.arange(3)})
        """,
        ["m.mat"],
    ),
    "seaborn": (
        """
        import matplotlib.pyplot as plt, pandas as pd, seaborn as sns
        sns.set_theme()
        table = pd.DataFrame({"x": [1, 2, 3, 4], "y": [1, 4, 9, 16], "kind": list("abab")})
        sns.lmplot(data=table, x="x", y="y").savefig("lm.png")
        sns.heatmap(table[["x", "y"]].corr(), annot=True); plt.savefig("heat.png"); plt.close("all")
        sns.pairplot(table, hue="kind"); plt.show()
        """,
        ["heat.png", "lm.png"],
    ),
    "PIL": (
        """
        from PIL import Image, ImageDraw, ImageFilter, ImageFont
        image = Image.new("RGB", (64, 64), "navy")
        ImageDraw.Draw(image).text((5, 5), "hello", font=ImageFont.load_default(), fill="white")
        image.filter(ImageFilter.BLUR).resize((32, 32)).save("i.png")
        image.save("i.jpg"); image.save("i.webp")
        assert Image.open("i.jpg").size == (64, 64)
        """,
        ["i.jpg", "i.png", "i.webp"],
    ),
    "sympy": (
        """
        from sympy import Eq, Matrix, diff, integrate, latex, lambdify, pprint, sin, solve, symbols, sympify
        x, y = symbols("x y")
        assert solve(Eq(x ** 2, 4), x) == [-2, 2] and diff(sin(x) * x, x) == sin(x) + x * sin(x).diff(x)
        assert integrate(x, (x, 0, 1)) == sympify("1/2") and Matrix([[1, 2], [3, 4]]).det() == -2
        pprint(latex(x / y)); assert lambdify(x, x + 1)(1) == 2
        """,
        [],
    ),
    "networkx": (
        """
        import matplotlib.pyplot as plt, networkx as nx
        graph = nx.karate_club_graph()
        nx.draw(graph, nx.spring_layout(graph, seed=1), with_labels=True); plt.savefig("g.png"); plt.close()
        print(nx.shortest_path(graph, 0, 33), max(nx.pagerank(graph).values()))
        nx.write_gexf(graph, "g.gexf")
        """,
        ["g.gexf", "g.png"],
    ),
    "plotly": (
        """
        import plotly.express as px, plotly.graph_objects as go
        iris = px.data.iris()
        figure = px.scatter(iris, x="sepal_width", y="sepal_length", color="species", trendline="ols")
        figure.write_html("iris.html", include_plotlyjs="cdn")
        assert "Plotly.newPlot" in go.Figure(go.Bar(x=["a"], y=[1])).to_html(include_plotlyjs=True)
        """,
        ["iris.html"],
    ),
    "statsmodels": (
        """
        import numpy as np, pandas as pd, statsmodels.api as sm, statsmodels.formula.api as smf
        from statsmodels.tsa.arima.model import ARIMA
        x = np.arange(40.0); table = pd.DataFrame({"x": x, "y": 2 * x + np.sin(x)})
        print(sm.OLS(table.y, sm.add_constant(table.x)).fit().summary())
        assert abs(smf.ols("y ~ x", table).fit().params.x - 2) < 0.1
        print(ARIMA(table.y, order=(1, 0, 0)).fit().forecast(2))
        """,
        [],
    ),
    "openpyxl": (
        """
        from openpyxl import Workbook, load_workbook
        from openpyxl.chart import BarChart, Reference
        book = Workbook(); sheet = book.active
        for row in (["a", 1], ["b", 2]): sheet.append(row)
        chart = BarChart(); chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=2))
        sheet.add_chart(chart, "D1")
        book.save("b.xlsx"); assert load_workbook("b.xlsx").active["B2"].value == 2
        """,
        ["b.xlsx"],
    ),
    "pytest": (
        """
        import pytest
        with pytest.raises(ZeroDivisionError, match="division"): 1 / 0
        assert 0.1 + 0.2 == pytest.approx(0.3)
        """,
        [],
    ),
    "bs4": (
        """
        from bs4 import BeautifulSoup
        for parser in ("html.parser", "lxml", "html5lib"):
            assert [a["href"] for a in BeautifulSoup("<p><a href=x>y</a>", parser).select("p > a")] == ["x"]
        """,
        [],
    ),
    "lxml": (
        """
        from lxml import etree, html
        assert html.fromstring("<p><b>x</b></p>").xpath("//b/text()") == ["x"]
        print(etree.tostring(etree.fromstring("<a><b/></a>"), pretty_print=True).decode())
        """,
        [],
    ),
    "html5lib": ("import html5lib; assert html5lib.parse('<p>x').tag.endswith('html')", []),
    "yaml": ("import yaml; assert yaml.safe_load(yaml.safe_dump({'a': [1, 2]})) == {'a': [1, 2]}", []),
    "dateutil": (
        """
        from datetime import datetime
        from dateutil import parser, relativedelta, rrule, tz
        assert parser.parse("1 May 2026") + relativedelta.relativedelta(months=1) == datetime(2026, 6, 1)
        assert len(list(rrule.rrule(rrule.DAILY, datetime(2026, 1, 1), count=3))) == 3
        """,
        [],
    ),
    "pytz": (
        """
        import datetime, pytz
        summer = pytz.timezone("Europe/Berlin").localize(datetime.datetime(2026, 7, 1))
        assert summer.utcoffset() == datetime.timedelta(hours=2)
        """,
        [],
    ),
    "regex": (r"import regex; assert regex.findall(r'\p{Lu}\w+', 'Ärger und Öl') == ['Ärger', 'Öl']", []),
    "jinja2": ("from jinja2 import Template; assert Template('{{ x }}!').render(x=1) == '1!'", []),
    "tabulate": ("from tabulate import tabulate; print(tabulate([[1, 2]], ['a', 'b'], tablefmt='grid'))", []),
    "tqdm": ("from tqdm import tqdm; assert sum(tqdm(range(10))) == 45", []),
    "xlsxwriter": (
        """
        import xlsxwriter
        with xlsxwriter.Workbook("x.xlsx") as book: book.add_worksheet().write("A1", "hello")
        """,
        ["x.xlsx"],
    ),
    "docx": (
        """
        from docx import Document
        document = Document(); document.add_heading("Report"); document.add_paragraph("hello")
        document.save("r.docx")
        assert Document("r.docx").paragraphs[1].text == "hello"
        """,
        ["r.docx"],
    ),
    "pptx": (
        """
        from pptx import Presentation
        slides = Presentation(); slide = slides.slides.add_slide(slides.slide_layouts[0])
        slide.shapes.title.text = "hello"; slides.save("s.pptx")
        """,
        ["s.pptx"],
    ),
    "reportlab": (
        """
        from reportlab.lib.styles import getSampleStyleSheet
        from reportlab.platypus import Paragraph, SimpleDocTemplate
        SimpleDocTemplate("r.pdf").build([Paragraph("hello", getSampleStyleSheet()["Title"])])
        """,
        ["r.pdf"],
    ),
    "wordcloud": (
        """
        from wordcloud import WordCloud
        WordCloud(width=200, height=100).generate("to be or not to be that is the question").to_file("w.png")
        """,
        ["w.png"],
    ),
}


def _imported(code: str) -> set[str]:
    """The modules that a program imports, by their first names."""
    nodes = list(ast.walk(ast.parse(textwrap.dedent(code))))
    names = [one.name for node in nodes if isinstance(node, ast.Import) for one in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


@unittest.skipIf(
    len(MISSING) == len(packages.OFFERED), "none of the image's packages is installed in this Python"
)
class PackagesTest(unittest.TestCase):
    """A program of each package, in a sandbox with the memory of the image's."""

    sandbox: ClassVar[SandboxProcess]

    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess(SANDBOX_MEMORY_MB="1152")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.sandbox.close()

    def test_each_works(self) -> None:
        self.assertEqual(PROGRAMS.keys(), packages.OFFERED.keys())
        for name, (code, left) in PROGRAMS.items():
            with self.subTest(name):
                lacking = sorted({name, *_imported(code)}.intersection(MISSING))
                if lacking:
                    self.skipTest(f"not installed in this Python: {', '.join(lacking)}")
                result = self.sandbox.run(code, timeout=60)
                self.assertTrue(
                    result["success"], f"{result['error']}\n{result['traceback']}\n{result['output']}"
                )
                self.assertNotIn("Warning", result["output"])
                kept = {artifact["name"] for artifact in result["artifacts"]}
                self.assertLessEqual(set(left), kept)

    def test_all_are_told(self) -> None:
        here = {package for name, package in packages.OFFERED.items() if name not in MISSING}
        self.assertLessEqual(here, set(self.sandbox.ready()["packages"]))


class MissingPackagesTest(unittest.TestCase):
    """What a program that imports what is not here is told, as the sandbox runs it."""

    sandbox: ClassVar[SandboxProcess]

    @classmethod
    def setUpClass(cls) -> None:
        cls.sandbox = SandboxProcess()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.sandbox.close()

    #: Makes the packages look as if they were not installed.
    HIDE = """
import sys
class Hidden:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in NAMES: raise ModuleNotFoundError(f"No module named {name!r}", name=name)
NAMES = set(%r)
for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]: del sys.modules[name]
sys.meta_path.insert(0, Hidden)
"""

    def error_of(self, code: str, hidden: list[str] | None = None) -> str:
        result = self.sandbox.run(self.HIDE % (hidden or []) + code)
        self.assertFalse(result["success"], code)
        error: str = result["error"]
        return error

    def test_one_that_the_image_has(self) -> None:
        for code in (
            "import sklearn",
            "from sklearn.cluster import KMeans",
            "def f():\n    import sklearn.svm as svm\nf()",
            "try:\n    import sklearn\nexcept ImportError:\n    raise RuntimeError('no classifier')",
            "__import__('sklearn')",
            "import importlib; importlib.import_module('sklearn.tree')",
            "raise ImportError('scikit-learn is required for this')",
            "import sys; sys.exit('Please install scikit-learn first')",
        ):
            with self.subTest(code):
                error = self.error_of(code, ["sklearn"])
                self.assertIn(
                    "scikit-learn is missing here: `npm run packages` installs it, a program cannot; use ",
                    error,
                )

    def test_what_is_here_is_named(self) -> None:
        self.assertIn("; use the standard library)", self.error_of("import numpy", [*packages.OFFERED]))

    def test_packages_name_what_they_lack(self) -> None:
        text = "Missing optional dependency 'openpyxl'.  Use pip or conda to install openpyxl."
        error = self.error_of(f"raise ImportError({text!r})", ["openpyxl"])
        self.assertIn("(openpyxl is missing here", error)
        error = self.error_of("raise ImportError('lxml not found, please install it')", ["lxml"])
        self.assertIn("(lxml is missing here", error)

    def test_one_that_nobody_has(self) -> None:
        for code, package in (("import cv2", "opencv-python"), ("from no_such.thing import x", "no_such")):
            with self.subTest(code):
                error = self.error_of(code)
                self.assertIn(
                    f"({package} is not here; a program is one file, and cannot install anything; use ", error
                )
                self.assertNotIn("npm", error)

    def test_modules_that_left_python(self) -> None:
        self.assertIn("has no module asynchat any more", self.error_of("import asynchat", ["asynchat"]))
        self.assertIn("comes without the module tkinter", self.error_of("import tkinter", ["tkinter"]))

    def test_other_errors_are_left_alone(self) -> None:
        for code in (
            "import json.nothing",
            "from json import nothing",
            "raise ValueError('numpy')",
            "raise ImportError('no')",
        ):
            with self.subTest(code):
                error = self.error_of(code, ["numpy"])
                self.assertNotIn("; use ", error)
                self.assertNotIn("any more", error)


class FontTest(unittest.TestCase):
    def test_pictures_have_chinese_japanese_and_korean(self) -> None:
        if not IN_IMAGE and ("matplotlib" in MISSING or figures.cjk_font() is None):
            self.skipTest("matplotlib or a font with these signs is missing here")
        sandbox = SandboxProcess()
        self.addCleanup(sandbox.close)
        code = """
            import matplotlib.pyplot as plt
            for style, family in (("default", "sans-serif"), ("ggplot", "monospace")):
                with plt.style.context(style):
                    plt.figure()
                    plt.title("売上 销售额 매출", family=family, weight="bold")
                    plt.savefig(f"{style}.png")
        """
        # A sign that no font has is told as a warning.
        self.assertEqual(sandbox.run(code)["output"], "")


class ListTest(unittest.TestCase):
    def test_is_that_of_the_requirements(self) -> None:
        requirements = FOLDER / "requirements.in"
        if not requirements.exists():
            self.skipTest("the image has its packages, but not what they were asked for by")
        names = re.findall(r"^[a-z][\w-]*$", requirements.read_text(), re.MULTILINE)
        self.assertEqual([*packages.OFFERED.values()], names)

    def test_all_are_here_in_the_image(self) -> None:
        if not IN_IMAGE:
            self.skipTest("this is not the image")
        self.assertEqual(MISSING, [])
