"""What people write, as we take it: in one form, without what only machines would heed."""

import re
import unicodedata
from itertools import groupby
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

#: Text beyond this is left as it is: no field takes so much, and its bound says so.
LONGEST = 16_000

#: Marks on one letter, as Unicode's stream-safe form allows; more of them are a toy that costs time, or hides a text.
MOST_MARKS = 30

#: Control characters but tab and line feed, and those that turn the order of what follows around.
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")

#: What some loaders of pictures' prompts read as the name of a file, in any spelling.
EMBEDDING = re.compile(r"(embedding)[:\s]*:", re.IGNORECASE)
LOADER = re.compile(r"<\s*(lora|lyco|lycoris|hypernet|ti)\b[:\s]*:", re.IGNORECASE)


def clean(value: Any) -> Any:
    """Bring a text into the form in which it is kept; what is none stays for the contract to refuse.

    Line ends become line feeds, characters that nobody sees go, letters and their marks are composed (NFC), and what a
    loader would read as a file's name loses the colon that makes it one. Once more changes nothing.
    """
    if not isinstance(value, str) or len(value) > LONGEST:
        return value
    seen = UNSEEN.sub("", value.replace("\r\n", "\n").replace("\r", "\n"))
    check_marks(seen)
    composed = unicodedata.normalize("NFC", seen)
    return LOADER.sub(r"\1 ", EMBEDDING.sub(r"\1 ", composed))


def check_marks(text: str) -> None:
    """Refuse a letter under a heap of marks; to put those in order takes time that grows with their square."""
    if text.isascii():
        return
    for marks, run in groupby(text, key=lambda letter: unicodedata.combining(letter) > 0):
        if marks and sum(1 for _ in run) > MOST_MARKS:
            raise PydanticCustomError("marks", "A letter may carry 30 marks: send plain text")


#: Letters, digits and underscores: such a word cannot carry loader syntax, markup or a template.
WORD = r"^[A-Za-z0-9_]{1,64}$"

#: What a step is called: a reference ends where such a name does.
NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"

#: What each pattern wants, for people.
SPELLED = {
    WORD: "write it with A-Z a-z 0-9 and _ alone, no space or hyphen, 64 at most: as TOK_HANDBAG",
    NAME: "write it with A-Z a-z 0-9 and _ alone, 64 at most, a digit not first: as cut_out",
}

#: A text that people write and others read.
Text = Annotated[str, BeforeValidator(clean)]
