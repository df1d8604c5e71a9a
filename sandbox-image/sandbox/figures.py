"""Matplotlib: loaded and warmed before the fork; figures left open are saved when the code has ended."""

import functools
import importlib
import io
import itertools
import os
import sys
import warnings
import weakref
from typing import Any

_saved_by_code: "weakref.WeakSet[Any]" = weakref.WeakSet()


def preload() -> None:
    """Imports matplotlib, draws one figure so that the first real one is quick, and notes what is saved."""
    importlib.import_module("matplotlib").use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    figure_class = importlib.import_module("matplotlib.figure").Figure

    _, axes = pyplot.subplots()
    axes.plot([1, 2], [1, 2], label="warm")
    axes.legend()
    axes.set_title("warm")
    pyplot.savefig(io.BytesIO(), format="png")
    pyplot.close("all")

    save = figure_class.savefig

    @functools.wraps(save)
    def savefig(self: Any, *arguments: Any, **options: Any) -> Any:
        result = save(self, *arguments, **options)
        _saved_by_code.add(self)
        return result

    figure_class.savefig = savefig
    # plt.show() is no mistake: the figure is saved at the end.
    warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")


def save_open() -> None:
    """Saves what the code has not saved or closed as figure-N.png, never over a file of the code's own."""
    names = (f"figure-{number}.png" for number in itertools.count(1))
    free_names = (name for name in names if not os.path.lexists(name))
    for figure, name in zip(_unsaved(), free_names, strict=False):
        try:
            figure.savefig(name)
        except Exception as error:  # a broken figure is the code's own: told, and no reason to fail
            print(f"{name} could not be saved: {type(error).__name__}: {error}", file=sys.stderr)


def _unsaved() -> list[Any]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return []
    return [
        figure for number in pyplot.get_fignums() if (figure := pyplot.figure(number)) not in _saved_by_code
    ]
