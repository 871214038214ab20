"""Pictures with matplotlib and without a display."""

from io import BytesIO

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fr_locales.messages import Message
from fr_locales.rendering import render

# Colours that differ for colour-blind readers too: M. Okabe and K. Ito, "Color universal design" (2008).
COLOURS = ("#0072B2", "#D55E00")


def as_svg(figure: Figure) -> str:
    """The picture as an <svg> element, the same bytes for the same picture."""
    text = _saved(figure, "svg").decode("utf-8")
    return text[text.index("<svg") :]


def as_png(figure: Figure) -> bytes:
    """The picture as a PNG file."""
    return _saved(figure, "png")


def _saved(figure: Figure, form: str) -> bytes:
    data = BytesIO()
    metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    with rc_context({"svg.hashsalt": "fr"}):  # else names within the file are drawn by chance
        figure.savefig(data, format=form, metadata=metadata, dpi=150)
    return data.getvalue()


def label(text: str | Message) -> str:
    """The text of a picture, in English."""
    return render(text) if isinstance(text, Message) else text


def new_figure(x: str | Message, y: str | Message) -> tuple[Figure, Axes]:
    """An empty picture with the names of its axes."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(label(x))
    axes.set_ylabel(label(y))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes
