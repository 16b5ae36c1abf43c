"""Text of strangers, made safe for a terminal."""


def printable(text: str) -> str:
    """The text on one line, with every character that a terminal might obey (escape sequences, line breaks, changes of
    writing direction, lone surrogates) written out as Python would."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
