"""Console lines: a coloured word, then plain text, without interpreting brackets as markup and without wrapping."""

from rich.console import Console
from rich.text import Text


def say(console: Console, head: str, text: str, style: str = "") -> None:
    """Print one line."""
    console.print(Text.assemble((head, style), " ", text), soft_wrap=True)


console = Console(stderr=True)
