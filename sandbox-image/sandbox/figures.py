"""Pictures: what code shows is saved, and so are the figures that it leaves open.

`plt.show()` does what it does in a notebook: it saves every open figure as figure-N.png and closes it.
`Image.show()` of Pillow saves image-N.png. Both count to the time of the code. Matplotlib is loaded and
warmed before the fork.
"""

import functools
import importlib
import io
import itertools
import logging
import os
import sys
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

# A font with the signs of Chinese, Japanese and Korean, which matplotlib's own lack: where the image has it,
# and Debian, Arch and Fedora.
_CJK_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-sans-cjk-fonts/NotoSansCJK-Regular.ttc",
)

_saved_by_code: "weakref.WeakSet[Any]" = weakref.WeakSet()
_shown: dict[str, bytes] = {}  # what has been saved of what was shown: the code may write over it


def preload() -> None:
    """Imports matplotlib, draws one figure so that the first real one is quick, and sees to what is shown."""
    importlib.import_module("matplotlib").use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure_class = importlib.import_module("matplotlib.figure").Figure
    manager_class = importlib.import_module("matplotlib.backend_bases").FigureManagerBase

    _, axes = pyplot.subplots()
    axes.plot([1, 2], [1, 2], label="warm")
    axes.legend()
    axes.set_title("warm")
    pyplot.savefig(io.BytesIO(), format="png")
    pyplot.close("all")

    _fall_back_to_cjk_font()
    save = figure_class.savefig

    @functools.wraps(save)
    def savefig(self: Any, fname: Any, *arguments: Any, **options: Any) -> Any:
        result = save(self, fname, *arguments, **options)
        if not isinstance(fname, io.BytesIO):  # what is in memory only has not been handed over
            _saved_by_code.add(self)
            self.stale = False  # until it is drawn on again
        return result

    def show(self: Any) -> None:
        name = _save(self.canvas.figure)
        if name is not None:
            with open(name, "rb") as file:
                _shown[name] = file.read()
        pyplot.close(self.canvas.figure)

    figure_class.savefig = savefig
    manager_class.show = show
    pyplot.pause = time.sleep  # an animation drawn in a loop: no picture of each of its steps
    warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
    logging.getLogger("matplotlib.font_manager").addFilter(_once())


def cjk_font() -> str | None:
    """The path of the font for what matplotlib's own fonts lack, where there is one."""
    return next((path for path in _CJK_FONTS if os.path.exists(path)), None)


def _fall_back_to_cjk_font() -> None:
    """Has pictures take from it what the chosen fonts lack, whatever fonts code and styles choose."""
    path = cjk_font()
    if path is None:
        return
    backend: Any = importlib.import_module("matplotlib.backends.backend_agg")
    get_font = backend.get_font

    @functools.wraps(get_font)
    def with_fallback(fonts: Any, *arguments: Any, **options: Any) -> Any:
        chosen = [fonts] if isinstance(fonts, (str, bytes, os.PathLike)) else list(fonts)
        return get_font([*chosen, path], *arguments, **options)

    backend.get_font = with_fallback


def preload_images() -> None:
    """Has Pillow save what is to be shown."""
    viewers = importlib.import_module("PIL.ImageShow")

    class Viewer(viewers.Viewer):  # type: ignore[misc, name-defined]
        format = "PNG"

        def show_image(self, image: Any, **_: Any) -> int:
            image.save(_free_name("image"))
            return 1

    viewers.register(Viewer(), 0)


def save_open() -> None:
    """Saves the figures that the code has not shown, saved or closed, and again those that it wrote over."""
    for name, picture in _shown.items():
        if _content(name) not in (picture, None):
            with open(_free_name("figure"), "wb") as file:
                file.write(picture)
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    for number in pyplot.get_fignums() if pyplot else ():
        figure = pyplot.figure(number)
        if figure not in _saved_by_code:
            _save(figure)


def _save(figure: Any) -> str | None:
    """As figure-N.png in the working folder, unless the code has saved it as it is; gives the name."""
    if figure in _saved_by_code and not figure.stale:
        return None
    name = _free_name("figure")
    try:
        figure.savefig(name)
    except Exception as error:  # a broken figure is the code's own: told, and no reason to fail
        print(f"{name} could not be saved: {type(error).__name__}: {error}", file=sys.stderr)
        return None
    return name


def _content(name: str) -> bytes | None:
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError:
        return None  # the code removed it


def _free_name(kind: str) -> str:
    """Never that of a file of the code's own."""
    names = (f"{kind}-{number}.png" for number in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))


def _once() -> Callable[[logging.LogRecord], bool]:
    """Lets each message through once: a missing font would be told for every word of a figure."""
    told: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        is_known = message in told
        told.add(message)
        return not is_known

    return is_new
