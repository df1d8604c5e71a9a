"""Honest programs pass: a false alarm costs an attempt. One program a style that models write in."""

import unittest

from policy import check

PROGRAMS: dict[str, str] = {
    "dataclasses and enum": """
from __future__ import annotations
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum, IntFlag, auto

class Color(Enum):
    RED = auto()
    GREEN = auto()

    @classmethod
    def parse(cls, text: str) -> Color:
        return cls[text.upper()]

class Access(IntFlag):
    READ = 1
    WRITE = 2

@dataclass(order=True, frozen=True)
class Item:
    name: str = field(compare=False)
    price: float
    tags: list["Color"] = field(default_factory=list)

    def __post_init__(self):
        object.__setattr__(self, "price", round(self.price, 2))

item = replace(Item("pen", 1.239), price=2)
print(asdict(item), [getattr(item, f.name) for f in fields(item)], Item.__dataclass_fields__.keys())
print(Color.__members__, Access.READ | Access.WRITE)
""",
    "class with the operator protocol": """
import functools

@functools.total_ordering
class Vector:
    __slots__ = ("x", "y")
    __hash__ = None

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __repr__(self):
        return f"{self.__class__.__name__}({self.x!r}, {self.y!r})"

    def __eq__(self, other):
        if other.__class__ is not self.__class__:
            return NotImplemented
        return (self.x, self.y) == (other.x, other.y)

    def __lt__(self, other):
        return abs(self) < abs(other)

    def __abs__(self):
        return (self.x ** 2 + self.y ** 2) ** 0.5

    def __add__(self, other):
        return type(self)(self.x + other.x, self.y + other.y)

    __radd__ = __add__

    def __iter__(self):
        yield from (self.x, self.y)

    def __getitem__(self, index):
        return (self.x, self.y).__getitem__(index)

print(Vector(1, 2).__add__(Vector(3, 4)), Vector.__name__, type(Vector(0, 0)).__qualname__, Vector.__doc__)
""",
    "inheritance, properties and method resolution": """
class Base:
    registry = []

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        Base.registry.append(cls)

    def __new__(cls, *args):
        return super().__new__(cls)

    def __init__(self, name):
        self._name = name

    @property
    def name(self):
        return self._name

    @name.setter
    def name(self, value):
        self._name = value

class Child(Base):
    def __init__(self, name):
        super().__init__(name)
        Base.__init__(self, name)
        self._os = "linux"
        self._sys = self._os

    def __str__(self):
        return super().__str__() + self.__class__.__module__

print([cls.__name__ for cls in Child.mro()], isinstance(Child("x"), Base), Base.registry)
""",
    "objects with attributes of their own": """
class Settings:
    def __init__(self, **values):
        self.__dict__.update(values)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return None

    def __setattr__(self, name, value):
        super().__setattr__(name, value)

    def __eq__(self, other):
        return self.__dict__ == other.__dict__

    def __getattribute__(self, name):
        return object.__getattribute__(self, name)

settings = Settings(debug=True)
setattr(settings, "level", 3)
for key in ("debug", "level"):
    print(key, getattr(settings, key, None), hasattr(settings, key), hasattr(settings, "__dict__"))
print(vars(settings), {key: value for key, value in vars(settings).items()})
print(Settings(a=1).__dict__, [settings][0] is settings)
""",
    "names of built-in functions for one's own things": """
import re

def compile(source):
    return source.upper()

class Door:
    def open(self):
        self.is_open = True
        return self

    def eval(self, input, vars=None, globals=()):
        return input, vars, globals

    def close(self, exec=None):
        return exec

def process(input, open=False):
    compile = input.strip()
    return [compile for input in compile if open or input]

def totals(locals):
    for open, high, low in locals:
        yield open + high + low

for input, expected in [("a", ["a"]), ("b", ["b"])]:
    print(process(input) == expected)

if len("ab") > 1:
    vars = {"x": 1}
else:
    vars = {}
try:
    globals = int("1")
except ValueError:
    globals = 0
print(compile("x"), Door().open().eval("1 + 1"), re.compile(r"\\d+").findall("a1b22"), vars, globals)
print(list(totals([(1, 2, 3)])), (lambda input: input)(3), {open: 1 for open in range(2)})
""",
    "decorators": '''
import functools
import time
from typing import Any, Callable, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

def timed(function: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            print(f"{function.__name__} took {time.perf_counter() - start:.3f} s")
            print(wrapper.__wrapped__.__doc__)
    return wrapper

@timed
@functools.lru_cache(maxsize=None)
def fibonacci(n: int) -> int:
    """Numbers."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

print(fibonacci(30), fibonacci.__annotations__, fibonacci.__defaults__)
''',
    "context managers": """
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
import io

class Managed:
    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        return kind is ValueError

@contextmanager
def tag(name):
    print(f"<{name}>")
    yield name
    print(f"</{name}>")

buffer = io.StringIO()
with redirect_stdout(buffer), tag("b"), Managed() as managed, suppress(KeyError):
    print("text")
with ExitStack() as stack:
    stack.enter_context(tag("i"))
print(buffer.getvalue())
""",
    "generators and iterators": """
import itertools
from collections.abc import Iterable, Iterator

class Countdown:
    def __init__(self, start):
        self.current = start

    def __iter__(self):
        return self

    def __next__(self):
        if self.current <= 0:
            raise StopIteration
        self.current -= 1
        return self.current

def flatten(items: Iterable) -> Iterator:
    for item in items:
        if isinstance(item, (list, tuple)):
            yield from flatten(item)
        else:
            received = yield item

print(list(Countdown(3)), list(flatten([1, [2, (3,)]])), next(iter(Countdown(2))), Countdown(2).__next__())
print(list(itertools.islice(itertools.count(), 5)), [*itertools.chain.from_iterable([[1], [2]])])
""",
    "asyncio": """
import asyncio

class Source:
    def __aiter__(self):
        return self

    async def __anext__(self):
        raise StopAsyncIteration

async def worker(name: str, queue: asyncio.Queue) -> None:
    while True:
        item = await queue.get()
        await asyncio.sleep(0.01)
        print(name, item)
        queue.task_done()

async def main() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    tasks = [asyncio.create_task(worker(f"worker-{i}", queue)) for i in range(3)]
    for number in range(5):
        queue.put_nowait(number)
    await queue.join()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async for item in Source():
        print(item)

if __name__ == "__main__":
    asyncio.run(main())
""",
    "threads": """
import queue
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

lock = threading.Lock()
total = 0

def add(n):
    global total
    with lock:
        total += n
    return n

with ThreadPoolExecutor(max_workers=4) as pool:
    futures = [pool.submit(add, i) for i in range(10)]
    print(sum(future.result() for future in as_completed(futures)))
thread = threading.Thread(target=add, args=(1,), daemon=True)
thread.start()
thread.join()
print(total, queue.Queue().empty())
""",
    "json and csv in memory": """
import csv
import io
import json

class Encoder(json.JSONEncoder):
    def default(self, o):
        return {"__type__": type(o).__name__, **o.__dict__}

text = "name,score\\nann,3\\nbob,5\\n"
rows = list(csv.DictReader(io.StringIO(text)))
out = io.StringIO()
writer = csv.DictWriter(out, fieldnames=rows[0].keys())
writer.writeheader()
writer.writerows(rows)
print(json.dumps(rows, indent=2, cls=Encoder), out.getvalue(), io.BytesIO(b"x").read())
print(json.loads('{"a": {"b": [1, 2]}}')["a"]["b"])
""",
    "argparse and logging": """
import argparse
import logging

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
logger = logging.getLogger(__name__)

def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3)
    args = parser.parse_args(argv or [])
    logger.info("counting to %d", args.count)
    print(vars(args))
    return 0

if __name__ == "__main__":
    raise SystemExit(main())
""",
    "text": """
import re
import string
import textwrap
import unicodedata
from collections import Counter, defaultdict

PATTERN = re.compile(r"(?P<user>[\\w.]+)@(?P<host>[\\w.]+)", re.IGNORECASE)
text = "Write to ann@example.com or bob@example.org, see /etc/hosts and ../readme and https://example.com"
for match in PATTERN.finditer(text):
    print("{user} at {host}".format(**match.groupdict()), "{0.lastgroup} {0.re.pattern}".format(match))
print("{0.__class__.__name__}: {0!r:>10} {1[0]} {2:{3}}".format(text, [1], 3.5, ".2f"), "{} {}".format(1, 2))
words = Counter(re.sub(f"[{re.escape(string.punctuation)}]", "", text).lower().split())
print(textwrap.fill(text, 40), words.most_common(3), unicodedata.normalize("NFC", "é"), "%s.%s" % ("a", "b"))
groups = defaultdict(list)
for word in words:
    groups[len(word)].append(word)
print("The attributes __init__ and __mro__ are special.", "D.mro():", {"__init__": 1})
print(string.Template("$x").substitute(x=1))
""",
    "numbers": """
import cmath
import math
import random
import statistics
from decimal import ROUND_HALF_UP, Decimal, getcontext
from fractions import Fraction
from math import *

random.seed(42)
getcontext().prec = 30
values = [random.gauss(0, 1) for _ in range(100)]
print(statistics.mean(values), statistics.quantiles(values, n=4), math.comb(5, 2), cmath.sqrt(-1), sqrt(2))
print(Decimal("1.005").quantize(Decimal("0.01"), rounding=ROUND_HALF_UP), Fraction(1, 3) + Fraction(1, 6))
for name in ("sin", "cos"):
    print(name, getattr(math, name)(math.pi))
""",
    "dates": """
import calendar
import time
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

now = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
print(now.astimezone(ZoneInfo("Europe/Berlin")).isoformat(), date(2024, 1, 1) + timedelta(days=30))
print(calendar.monthrange(2024, 2), time.strftime("%Y", time.gmtime(0)), datetime.strptime("2024", "%Y").year)
""",
    "algorithms": """
from bisect import bisect_left, insort
from collections import OrderedDict, deque, namedtuple
import heapq
import operator
from functools import partial, reduce

Edge = namedtuple("Edge", "to cost")
graph = {"a": [Edge("b", 1), Edge("c", 4)], "b": [Edge("c", 2)], "c": []}

def dijkstra(start):
    distances = {start: 0}
    heap = [(0, start)]
    while heap:
        cost, node = heapq.heappop(heap)
        for edge in graph[node]:
            if (total := cost + edge.cost) < distances.get(edge.to, float("inf")):
                distances[edge.to] = total
                heapq.heappush(heap, (total, edge.to))
    return distances

OPERATIONS = {"+": operator.add, "-": operator.sub}
print(dijkstra("a"), reduce(operator.mul, range(1, 6)), OPERATIONS["+"](1, 2))
print(deque([1], maxlen=2), OrderedDict(a=1), partial(pow, 2)(3))
print(sorted(graph["a"], key=operator.attrgetter("cost")), list(map(operator.itemgetter(0), ["ab"])))
numbers = [1, 3]
insort(numbers, 2)
print(bisect_left(numbers, 2), operator.methodcaller("upper")("a"))
print(operator.attrgetter("__class__.__name__")(1))
""",
    "a safe calculator": """
import ast
import operator

OPERATORS = {ast.Add: operator.add, ast.Mult: operator.mul}

def evaluate(node):
    match node:
        case ast.Expression(body=body):
            return evaluate(body)
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](evaluate(left), evaluate(right))
    raise ValueError(f"unsupported: {ast.dump(node)}")

class Visitor(ast.NodeVisitor):
    def visit(self, node):
        return getattr(self, f"visit_{type(node).__name__}", self.generic_visit)(node)

print(evaluate(ast.parse("1 + 2 * 3", mode="eval")), ast.literal_eval("[1, 2]"))
""",
    "typing": """
from abc import ABC, abstractmethod
from typing import (
    TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, NamedTuple, Optional, Protocol, TypedDict,
    Union, get_args, get_origin, get_type_hints, overload, runtime_checkable,
)
import types

Mode = Literal["open", "eval", "exec"]

class Shape(ABC):
    count: ClassVar[int] = 0

    @abstractmethod
    def area(self) -> "float": ...

    def bigger(self, other: "Shape | None") -> Optional["Shape"]:
        return self

@runtime_checkable
class Named(Protocol):
    name: str

class Point(NamedTuple):
    x: Annotated[int, "not below zero"]
    y: int = 0

class Movie(TypedDict, total=False):
    title: str

def f(mode: Mode, code: "dict[str, list[int]]" = {}) -> None:
    assert isinstance(f, types.FunctionType) and isinstance(code, types.SimpleNamespace | dict)

print(get_type_hints(Point), get_origin(Union[int, str]), get_args(Mode), list[int].__args__)
print(Shape.__abstractmethods__)
print(Movie.__total__, Point(1)._asdict(), Point._fields, Shape.__subclasshook__)
""",
    "pattern matching": """
from dataclasses import dataclass

@dataclass
class Computer:
    os: str
    code: int

def describe(value):
    match value:
        case Computer(os="linux", code=code) if code > 1:
            return f"linux {code}"
        case {"type": "circle", **rest}:
            return rest
        case [first, *others]:
            return first, others
        case str() | bytes() as input:
            return input
        case _:
            return value.__class__.__name__

computer = Computer("linux", 2)
print(describe(computer), computer.os, computer.code, describe([1, 2]), describe("x"))
""",
    "exceptions": """
import sqlite3
import traceback
import warnings

class AppError(Exception):
    def __init__(self, message, *, code=1):
        super().__init__(message)
        self.code = code

try:
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise AppError("failed") from error
except AppError as error:
    print(error.__cause__, error.code, type(error).__name__, error.args)
    traceback.print_exception(type(error), error, error.__traceback__)
finally:
    warnings.warn("done")
try:
    raise ExceptionGroup("several", [ValueError(1), TypeError(2)])
except* (ValueError, TypeError) as group:
    print(group.exceptions)
""",
    "sqlite in memory": """
import sqlite3

connection = sqlite3.connect(":memory:")
connection.row_factory = sqlite3.Row
with connection:
    connection.execute("create table people (name text, age integer)")
    connection.executemany("insert into people values (?, ?)", [("ann", 30), ("bob", 40)])
for row in connection.execute("select name, age from people where age > ?", (35,)):
    print(dict(row))
connection.close()
""",
    "bytes, hashes and ids": """
import array
import base64
import binascii
import gzip
import hashlib
import hmac
import secrets
import struct
import uuid
import zlib

data = b"hello"
print(hashlib.sha256(data).hexdigest(), base64.b64encode(data).decode())
print(hmac.new(b"k", data, "sha256").hexdigest())
print(uuid.uuid5(uuid.NAMESPACE_DNS, "example.com"), struct.pack(">IH", 1, 2))
print(array.array("i", [1, 2]).tobytes())
print(zlib.crc32(data), gzip.decompress(gzip.compress(data)), binascii.hexlify(data), secrets.token_hex(4))
""",
    "unittest": """
import unittest

def add(a, b):
    return a + b

class AddTest(unittest.TestCase):
    def setUp(self):
        self.value = 2

    def test_add(self):
        self.assertEqual(add(self.value, 2), 4)
        with self.assertRaises(TypeError):
            add(1, "a")

if __name__ == "__main__":
    unittest.main(argv=["tests"], exit=False)
""",
    "numpy": """
import numpy as np
from numpy.linalg import eig, norm

a = np.arange(12).reshape(3, 4).astype(np.float64)
for name in ["mean", "std"]:
    print(name, getattr(np, name)(a), getattr(a, name)(axis=0))
print(np.linalg.inv(np.eye(3)), np.random.default_rng(0).normal(size=3), norm(a), np.trace(a), np.__version__)
print(np.char.add(["a"], ["b"]), a.T @ a, np.testing.assert_allclose(a, a))
""",
    "pandas and matplotlib": """
import io
import pandas as pd
import matplotlib
import matplotlib.pyplot as plt
from scipy import signal

frame = pd.read_csv(io.StringIO("city,rain\\nulm,3\\nbonn,5"), sep=",")
frame["twice"] = frame["rain"].apply(lambda value: value * 2)
print(frame.groupby("city").agg({"rain": ["mean", "max"]}))
print(frame.query("rain > 3"), frame.eval("rain + twice"))
for index, row in frame.iterrows():
    print(index, row["city"], row.rain)
figure, axes = plt.subplots(figsize=(6, 4))
axes.plot(frame["rain"], signal.medfilt(frame["twice"]), label="/s")
axes.set_title("Rain {mm}")
plt.savefig("rain.png", dpi=100)
frame.to_csv("rain.csv", index=False)
plt.close(figure)
""",
    "urls without a network": """
from http import HTTPStatus
from urllib.parse import parse_qs, urlencode, urljoin, urlparse
import html
import ipaddress
import xml.etree.ElementTree as ET

parts = urlparse("https://example.com/a?x=1")
print(parts.netloc, parse_qs(parts.query), urlencode({"q": "a b"}), urljoin("https://example.com/a/", "../b"))
print(HTTPStatus.NOT_FOUND.phrase, html.escape("<b>"), ipaddress.ip_network("10.0.0.0/30").num_addresses)
root = ET.fromstring("<a><b n='1'/></a>")
print([child.attrib for child in root.iter("b")], ET.tostring(root, encoding="unicode"))
""",
    "a file system in memory": """
class FileSystem:
    def __init__(self):
        self.files = {}

    def open(self, path, mode="r"):
        return self.files.setdefault(path, [])

    def system(self, command):
        return command

    @staticmethod
    def join(*parts):
        return "/".join(part.strip("/") for part in parts)

os = FileSystem()
os.open("/etc/passwd").append("x")
os.system("ls")
path = os.join("home", "user")
print(path, os.files["/etc/passwd"])
""",
    "measuring": """
import copy
import gc
import inspect
import pprint
import random as sys
import time
import timeit
import tracemalloc
import weakref

def work(n: int = 10) -> list:
    return [i for i in range(n)]

tracemalloc.start()
print(timeit.timeit(work, number=100), timeit.timeit(lambda: work(3), number=10))
print(inspect.signature(work).parameters)
gc.collect()
print(tracemalloc.get_traced_memory(), time.monotonic(), copy.deepcopy([1]), weakref.ref(work), sys.random())
pprint.pprint(inspect.isfunction(work))
""",
    "metaclasses and descriptors": """
class Meta(type):
    def __new__(mcls, name, bases, namespace, **kwargs):
        cls = super().__new__(mcls, name, bases, namespace)
        cls.created_by = mcls.__name__
        return cls

    def __call__(cls, *args, **kwargs):
        if not hasattr(cls, "_instance"):
            cls._instance = super().__call__(*args, **kwargs)
        return cls._instance

class Positive:
    def __set_name__(self, owner, name):
        self.name = "_" + name

    def __get__(self, instance, owner=None):
        return self if instance is None else getattr(instance, self.name)

    def __set__(self, instance, value):
        if value <= 0:
            raise ValueError(f"{self.name} must be positive")
        setattr(instance, self.name, value)

class Account(metaclass=Meta):
    balance = Positive()

    def __init__(self, balance):
        self.balance = balance

Dynamic = type("Dynamic", (Account,), {"__repr__": lambda self: "dynamic"})
setattr(Account, "__str__", lambda self: str(self.balance))
print(Account(3) is Account(4), Dynamic.created_by, Account.balance.name)
""",
}

PROGRAMS |= {
    "results in files": """
import csv
import io
import json
import logging
import sqlite3
import xml.etree.ElementTree as ET
from pathlib import Path

folder = Path("out")
folder.mkdir(exist_ok=True)
(folder / "report.html").write_text("<h1>Report</h1>", encoding="utf-8")
Path(f"{folder}/data.json").write_text(json.dumps({"a": 1}))
table = io.StringIO()
csv.writer(table).writerows([["a", 1], ["b", 2]])
(folder / "table.csv").write_text(table.getvalue())
for path in sorted(folder.glob("*.csv")):
    print(path.name, path.stat().st_size, path.suffix, path.parent, path.exists(), path.read_text())
logging.basicConfig(filename="run.log", level=logging.INFO, force=True)
root = ET.Element("items")
ET.SubElement(root, "item", name="x").text = "/etc/passwd"
ET.ElementTree(root).write("items.xml", encoding="unicode")
with sqlite3.connect("people.db") as connection:
    connection.execute("create table if not exists people (name text)")
""",
    "archives in memory": """
import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

buffer = io.BytesIO()
with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("folder/a.txt", "hello")
buffer.seek(0)
with zipfile.ZipFile(buffer) as archive:
    print(archive.namelist(), archive.read("folder/a.txt"), archive.testzip())
packed = io.BytesIO()
with gzip.GzipFile(fileobj=packed, mode="wb") as file:
    file.write(b"x" * 100)
print(len(packed.getvalue()), bz2.decompress(bz2.compress(b"x")), lzma.decompress(lzma.compress(b"x")))
with tarfile.open(fileobj=io.BytesIO(), mode="w") as tar:
    tar.addfile(tarfile.TarInfo("a"), io.BytesIO())
""",
    "modules and queues passed on": """
import inspect
import json
import logging
import logging.handlers
import math
import queue
import random

FORMATS = {"json": json, "math": math}
print(math, FORMATS["json"].dumps([1]), [name for name, _ in inspect.getmembers(math)])

def shuffled(items, rng=random):
    return rng.sample(items, len(items))

class Game:
    def __init__(self, source=random):
        self.source = source

    def roll(self):
        return self.source.randint(1, 6)

print(shuffled([1, 2]), Game().roll(), Game(random.Random(1)).roll(), logging is None)
records = queue.Queue()
logging.getLogger().addHandler(logging.handlers.QueueHandler(records))
log = logging
log.info("told")
log.getLogger().setLevel(getattr(logging, "info".upper()))

class Task:
    logger = logging

    def __init__(self, log=logging):
        self.log = log
""",
}

STANDARD_PROGRAMS: dict[str, str] = {
    "what teaching code shows": """
import doctest
import gc
import inspect
import marshal
import multiprocessing as mp
import multiprocessing.dummy
import os
import pickle
import shelve
import sys
import timeit
from collections import *
from multiprocessing.pool import ThreadPool
from numpy import *
from os.path import *

class Base:
    pass

class Child(Base):
    def __reduce__(self):
        return (Child, ())

def outer():
    x = 1
    def inner():
        return x
    return inner

print(pickle.loads(pickle.dumps(Child())), marshal.loads(marshal.dumps([1])))
print(locals(), globals()["Base"], vars(), vars(Child), Child.__dict__, math.__dict__["pi"])
print(Base.__subclasses__(), Child.__mro__, Child.__bases__, "".__class__.__base__.__subclasses__())
print(outer().__closure__[0].cell_contents, outer.__code__.co_varnames, outer.__globals__["Base"])
print(eval("1 + 1"), timeit.timeit("sum(range(10))", setup="x = 1", number=10))
exec("y = 2")
exec(compile("z = 3", "f", "exec"), {"x": 1})
print(__import__("math").pi, inspect.currentframe().f_back, sys._getframe().f_lineno)
print(mp.cpu_count(), os.cpu_count(), sys.getsizeof([]), sys.modules["math"], "os" in sys.modules)
with ThreadPool(2) as pool, multiprocessing.dummy.Pool(2) as other:
    print(pool.map(abs, [-1]), other.map(len, ["a"]))
print("{0.__class__.__mro__}".format(1), getattr(Child, "__name__"), gc.collect())
for module in (os, sys):
    print(module.__name__, hasattr(os, "fork"), dir(os)[:3], os.name)
if __name__ == "__main__":
    doctest.testmod()
""",
    "modules by name": """
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import runpy

for name in ("json", "math"):
    module = importlib.import_module(name)
    print(module.__name__, importlib.util.find_spec(name), importlib.metadata.packages_distributions())
print([found.name for found in pkgutil.iter_modules()][:3])
""",
    "files in the working folder": """
import glob
import os
import shutil
import sys
import tempfile
from pathlib import Path

folder = Path("data")
folder.mkdir(exist_ok=True)
(folder / "a.txt").write_text("hello")
with open("data/b.txt", "w", encoding="utf-8") as file:
    print("text", file=file)
with open(os.path.join("data", "b.txt")) as file:
    print(file.read(), os.listdir("."), os.getcwd(), os.path.splitext("/home/user/a.txt"))
for root, folders, files in os.walk("."):
    print(root, files)
os.makedirs("out", exist_ok=True)
shutil.copy("data/a.txt", "out/a.txt")
with tempfile.TemporaryDirectory() as name, tempfile.NamedTemporaryFile() as temporary:
    print(name, glob.glob("data/*.txt"), Path.cwd(), Path(__file__).name)
os.remove("out/a.txt")
print(os.environ.get("HOME"), os.getpid(), os.sep, sys.argv, file=sys.stderr)
sys.exit(0)
""",
    "the interpreter": """
import pickle
import signal
import sqlite3
import sys
import zipfile

sys.setrecursionlimit(5000)
print(sys.maxsize, sys.version_info, sys.getsizeof([]), sys.stdin.read(), pickle.dumps([1]))
signal.signal(signal.SIGALRM, lambda number, frame: None)
signal.alarm(1)
connection = sqlite3.connect("people.db")
with zipfile.ZipFile("out.zip", "w") as archive:
    archive.writestr("a.txt", "hello")
for line in sys.stdin:
    print(line)
""",
}


class HonestProgramTest(unittest.TestCase):
    def test_programs_pass_both_profiles(self) -> None:
        for name, program in PROGRAMS.items():
            for profile in ("strict", "standard"):
                with self.subTest(program=name, profile=profile):
                    compile(program, name, "exec")
                    self.assertEqual(check(program, profile), [])

    def test_files_and_the_interpreter_are_open_to_standard(self) -> None:
        for name, program in STANDARD_PROGRAMS.items():
            with self.subTest(program=name):
                compile(program, name, "exec")
                self.assertEqual(check(program, "standard"), [])
                self.assertNotEqual(check(program, "strict"), [])


if __name__ == "__main__":
    unittest.main()
