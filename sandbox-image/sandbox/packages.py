"""The packages that programs may import: which are here, and what to say of those that are not."""

import importlib.metadata
import platform
import re
import sys
from importlib.util import find_spec

#: Package by the name it is imported by, the most used first: all of requirements.in.
OFFERED = {
    "numpy": "numpy",
    "pandas": "pandas",
    "matplotlib": "matplotlib",
    "sklearn": "scikit-learn",
    "scipy": "scipy",
    "seaborn": "seaborn",
    "PIL": "pillow",
    "sympy": "sympy",
    "networkx": "networkx",
    "plotly": "plotly",
    "statsmodels": "statsmodels",
    "openpyxl": "openpyxl",
    "pytest": "pytest",
    "bs4": "beautifulsoup4",
    "lxml": "lxml",
    "html5lib": "html5lib",
    "yaml": "pyyaml",
    "dateutil": "python-dateutil",
    "pytz": "pytz",
    "regex": "regex",
    "jinja2": "jinja2",
    "tabulate": "tabulate",
    "tqdm": "tqdm",
    "xlsxwriter": "xlsxwriter",
    "docx": "python-docx",
    "pptx": "python-pptx",
    "reportlab": "reportlab",
    "wordcloud": "wordcloud",
}
#: Further parts of those packages.
_PARTS = {"mpl_toolkits": "matplotlib", "pylab": "matplotlib", "_pytest": "pytest", "joblib": "scikit-learn"}
#: Packages that are not offered and are imported by another name.
_ELSEWHERE = {
    "attr": "attrs",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python",
    "docx2txt": "docx2txt",
    "dotenv": "python-dotenv",
    "fitz": "PyMuPDF",
    "fpdf": "fpdf2",
    "git": "GitPython",
    "IPython": "ipython",
    "jwt": "PyJWT",
    "Levenshtein": "python-Levenshtein",
    "magic": "python-magic",
    "MySQLdb": "mysqlclient",
    "nacl": "PyNaCl",
    "OpenSSL": "pyOpenSSL",
    "pkg_resources": "setuptools",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "umap": "umap-learn",
    "unidecode": "Unidecode",
    "usb": "pyusb",
    "zmq": "pyzmq",
}
_NO_LONGER_IN_PYTHON = frozenset(
    """
    aifc asynchat asyncore audioop binhex cgi cgitb chunk crypt distutils formatter imghdr imp lib2to3 mailcap
    msilib nis nntplib ossaudiodev parser pipes smtpd sndhdr spwd sunau symbol telnetlib uu xdrlib
    """.split()
)
_TOOLS = {"pip", "setuptools", "wheel"}
_NAMED = 8
_MISSING_WORDS = re.compile(r"\b(install\w*|missing|not found|requires?d?|dependency)\b", re.IGNORECASE)


def installed() -> dict[str, str]:
    """Name and version of each package on `sys.path`, by name; names as the package index spells them."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=sys.path):
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
        if name and version:  # what a broken removal leaves has neither
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return {name: found[name] for name in sorted(found.keys() - _TOOLS)}


def explain_missing(error: BaseException) -> str | None:
    """What to do where `error` comes from a package or module that is not here; None if it does not."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.partition(".")[0]
        return None if _is_here(module) else _explain_module(module)
    # Libraries say in their own words what they lack.
    text = str(error)[:2_000]
    if not isinstance(
        error, (ImportError, RuntimeError, ValueError, SystemExit)
    ) or not _MISSING_WORDS.search(text):
        return None
    words = set(re.findall(r"\w[\w-]*", text))
    named = [module for module, package in OFFERED.items() if words & {module, package}]
    missing = [module for module in named if not _is_here(module)]
    return _explain_module(missing[0]) if missing else None


def _explain_module(module: str) -> str:
    if module in _NO_LONGER_IN_PYTHON:
        return f"Python {platform.python_version()} has no module {module} any more"
    if module in sys.stdlib_module_names:
        return f"this Python comes without the module {module} of the standard library"
    there = [package for name, package in OFFERED.items() if _is_here(name)]
    use = (
        f"use {', '.join([*there[:_NAMED], 'or the standard library'])}"
        if there
        else "use the standard library"
    )
    offered = OFFERED.get(module) or _PARTS.get(module)
    if offered:
        return f"{offered} is missing here: `npm run packages` installs it, a program cannot; {use}"
    package = _ELSEWHERE.get(module, module)
    return f"{package} is not here; a program is one file, and cannot install anything; {use}"


def _is_here(module: str) -> bool:
    try:
        return module in sys.modules or find_spec(module) is not None
    except Exception:  # what the code has done to the import system is its own
        return False
