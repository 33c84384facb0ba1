"""Lines for people: a coloured word, then a text as it is, whatever brackets its names hold, and never wrapped."""

from rich.console import Console
from rich.text import Text


def say(console: Console, head: str, text: str, style: str = "") -> None:
    """Print one line."""
    console.print(Text.assemble((head, style), " ", text), soft_wrap=True)


console = Console(stderr=True)
