"""Species as people write them: "Black-footed Albatross" for the lists' "Black_footed_Albatross"."""

from __future__ import annotations

from itertools import pairwise

_PEOPLE = (
    "Anna", "Baird", "Bewick", "Brandt", "Brewer", "Clark", "Harris", "Heermann", "Henslow", "Le Conte", "Lincoln",
    "Nelson", "Scott", "Swainson", "Wilson",
)  # fmt: skip
_OTHERS = {
    "Artic Tern": "Arctic Tern",
    "Chuck will Widow": "Chuck-will's-widow",
    "Forsters Tern": "Forster's Tern",
    "Gray crowned Rosy Finch": "Gray-crowned Rosy-Finch",
    "Western Wood Pewee": "Western Wood-Pewee",
    "Whip poor Will": "Whip-poor-will",
}


def written(name: str) -> str:
    """The species of a name of the lists, with or without its number, underscores or blanks between the words."""
    plain = name.rpartition(".")[2].replace("_", " ")
    if plain in _OTHERS:
        return _OTHERS[plain]
    person = next((p for p in _PEOPLE if plain.startswith(f"{p} ")), None)
    if person:
        plain = f"{person}'s{plain.removeprefix(person)}"
    words = plain.split()  # a word in small letters belongs to the one before: "Black footed"
    text = words[0]
    for before, word in pairwise(words):
        text += ("-" if word.islower() or before == "and" else " ") + word
    return text
