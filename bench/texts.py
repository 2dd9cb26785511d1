"""Distinct texts for a run: short Korean queries, catalogue entries of mixed length, texts of a given token count.

All are put together from the names and words of the test recipes, reproducibly from a seed, and no text comes twice.
"""

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer

RECIPES = Path(__file__).resolve().parent.parent / "tests" / "data" / "recipes.txt"
SPECIAL_TOKENS = 2  # the tokenizer's own, around every text
MAX_TOKENS = 128  # of one text: the model's max_seq_length
CATALOGUE_MEAN = 38  # tokens of a catalogue entry


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Words before and after a dish's name; with about 640 names a million queries of about 10 tokens.
BEFORE = _words("""
    얼큰한 시원한 매콤한 담백한 고소한 달콤한 새콤한 든든한 간단한 부드러운 바삭한 쫄깃한 따뜻한 상큼한 진한 푸짐한
    가벼운 건강한 저렴한 근사한 주말에 아침에 점심에 저녁에 집에서 혼자서 겨울에 여름에 비오는날 명절에 아이와 친구와
    10분만에 처음하는 엄마표 식당식 다이어트 냉장고 에어프라이어 캠핑장
""")
AFTER = _words("""
    레시피 만들기 끓이는법 만드는법 비법 재료 양념 국물 반찬 안주 도시락 간식 야식 보양식 손님상 상차림 밀키트 맛집
    추천 칼로리 보관법 곁들임 초간단 황금비율 계량 순서 대체재료 인기메뉴 1인분 2인분 4인분 후기 꿀팁 원조 정식 특별식
    한그릇 덮밥 전골 볶음
""")


class TextsUsedUp(Exception):
    """More distinct texts were asked for than there are."""


def recipe_lines(path: Path = RECIPES) -> list[str]:
    """Lines of the form `name: description`."""
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def dishes(path: Path = RECIPES) -> dict[str, str]:
    """Descriptions by name; those that say the name themselves are left out, and of a name's the first counts."""
    found: dict[str, str] = {}
    for line in recipe_lines(path):
        name, _, description = (part.strip() for part in line.partition(":"))
        if name not in description:
            found.setdefault(name, description)
    return found


class Queries:
    """Short queries by number: number i is always the same text, and no two numbers share one."""

    def __init__(self, seed: int = 3, path: Path = RECIPES) -> None:
        self.names = list(dict.fromkeys(line.partition(":")[0].strip() for line in recipe_lines(path)))
        self.total = len(BEFORE) * len(self.names) * len(AFTER)
        # Steps through all numbers in a mixed order: a step that shares no factor with the total visits each once.
        self.step = 700_001
        while math.gcd(self.step, self.total) != 1:
            self.step += 2
        self.offset = random.Random(seed).randrange(self.total)
        self._next = 0

    def text(self, number: int) -> str:
        """The query of a number from 0 to `total` - 1."""
        place = (number * self.step + self.offset) % self.total
        place, after = divmod(place, len(AFTER))
        before, name = divmod(place, len(self.names))
        return f"{BEFORE[before]} {self.names[name]} {AFTER[after]}"

    def reserve(self, count: int) -> int:
        """Takes `count` numbers that nobody else gets; the first of them.

        Raises `TextsUsedUp`.
        """
        first = self._next
        if first + count > self.total:
            raise TextsUsedUp(f"{first + count} short queries were asked for, and there are {self.total}")
        self._next += count
        return first

    def give_back(self, first_unused: int) -> None:
        """Frees the numbers from `first_unused` on, of the latest reservation."""
        self._next = min(self._next, first_unused)

    def take(self, count: int) -> list[str]:
        """The next `count` queries."""
        first = self.reserve(count)
        return [self.text(number) for number in range(first, first + count)]


class LongTexts:
    """Texts of any token count, made of recipe words; needs the tokenizer, since a word is one to nine tokens."""

    def __init__(self, tokenizer: Tokenizer, seed: int = 5, path: Path = RECIPES) -> None:
        lines = recipe_lines(path)
        words = sorted({word for line in lines for word in line.split()})
        encodings = tokenizer.encode_batch(words, add_special_tokens=False)
        self._words: dict[int, list[str]] = {}
        for word, encoding in zip(words, encodings, strict=True):
            self._words.setdefault(sum(encoding.attention_mask), []).append(word)
        lengths = [min(sum(line.attention_mask), MAX_TOKENS) for line in tokenizer.encode_batch(lines)]
        # The spread of the recipes' own lengths, brought to the mean of the catalogue.
        scale = CATALOGUE_MEAN * len(lengths) / sum(lengths)
        self._lengths = sorted(max(round(length * scale), SPECIAL_TOKENS + 3) for length in lengths)
        self._random = random.Random(seed)
        self._given: set[str] = set()

    def of_tokens(self, count: int) -> str:
        """A new text of exactly `count` tokens, special ones included.

        Raises `TextsUsedUp` where there is none left of so few.
        """
        for _ in range(1_000):
            words = []
            left = count - SPECIAL_TOKENS
            while left > 0:
                # By how often each length occurs, of those that still fit.
                fitting = [length for length in self._words if length <= left]
                weights = [len(self._words[length]) for length in fitting]
                length = self._random.choices(fitting, weights)[0]
                words.append(self._random.choice(self._words[length]))
                left -= length
            text = " ".join(words)
            if text not in self._given:
                self._given.add(text)
                return text
        raise TextsUsedUp(f"no distinct text of {count} tokens is left")

    def request_of(self, tokens: int) -> list[str]:
        """Texts for one request that have `tokens` tokens together, each of at most `MAX_TOKENS`."""
        whole, rest = divmod(tokens, MAX_TOKENS)
        return [self.of_tokens(MAX_TOKENS) for _ in range(whole)] + ([self.of_tokens(rest)] if rest else [])

    def catalogue(self, count: int = 100) -> list[str]:
        """Entries of mixed length: evenly spread over the catalogue's lengths, in mixed order."""
        places = [int((place + 0.5) * len(self._lengths) / count) for place in range(count)]
        texts = [self.of_tokens(self._lengths[place]) for place in places]
        self._random.shuffle(texts)
        return texts


def zipf_log(texts: Sequence[str], length: int, seed: int = 7) -> Iterator[str]:
    """`length` requests for `texts`, the one of rank r as often as 1/r: what a search box sees."""
    weights = [1 / rank for rank in range(1, len(texts) + 1)]
    return iter(random.Random(seed).choices(texts, weights, k=length))
