"""The shop's catalogue: 2,000 Korean recipes, always the same ones, no two alike."""

from typing import NamedTuple

from bench.texts import BEFORE, recipe_lines

COUNT = 2_000


class Recipe(NamedTuple):
    """A row of the catalogue."""

    id: int
    title: str
    description: str

    @property
    def text(self) -> str:
        """What is embedded of it. The title comes first: a model cuts off what is too long for it."""
        return f"{self.title}: {self.description}"


def catalogue(count: int = COUNT) -> list[Recipe]:
    """The first `count` recipes: the test recipes with a sentence each, then again with a word before the title.

    >>> [recipe.title for recipe in catalogue() if recipe.title.endswith(" 갈비탕") or recipe.title == "갈비탕"]
    ['갈비탕', '얼큰한 갈비탕', '시원한 갈비탕', '매콤한 갈비탕']

    Raises `ValueError` where there are not so many.
    """
    lines = recipe_lines()
    if not 0 < count <= len(lines) * (1 + len(BEFORE)):
        raise ValueError(f"{count} recipes were asked for, and there are {len(lines) * (1 + len(BEFORE))}")
    recipes = []
    for number in range(count):
        round_, place = divmod(number, len(lines))
        title, _, description = lines[place].partition(": ")
        sentence, end, _ = description.partition(". ")
        before = f"{BEFORE[round_ - 1]} " if round_ else ""
        recipes.append(Recipe(number + 1, before + title, sentence + end.strip()))
    return recipes
