"""The catalogue of the recipe search: as many recipes as it says, all different, always the same."""

import pytest

from examples.recipe_search.embedding_client import BATCH
from examples.recipe_search.recipes import COUNT, catalogue


def test_no_two_recipes_are_alike() -> None:
    recipes = catalogue()
    assert len(recipes) == COUNT == 2_000
    assert len(recipes) % BATCH == 0
    for column in ("id", "title", "text"):
        assert len({getattr(recipe, column) for recipe in recipes}) == COUNT


def test_the_catalogue_is_the_same_each_time() -> None:
    assert catalogue() == catalogue()
    assert catalogue(700) == catalogue()[:700]


def test_a_recipe_is_a_title_and_one_sentence() -> None:
    assert catalogue()[0].text == "갈비탕: 핏물을 뺀 소갈비를 무와 함께 푹 고아 맑게 끓인 보양탕입니다."
    assert catalogue()[640].title == "얼큰한 갈비탕"
    assert all(recipe.description and ". " not in recipe.description for recipe in catalogue())
    assert max(len(recipe.text) for recipe in catalogue()) < 200


@pytest.mark.parametrize("count", [0, 1_000_000])
def test_no_more_recipes_than_there_are(count: int) -> None:
    with pytest.raises(ValueError, match="recipes were asked for"):
        catalogue(count)
