"""Texts on which the service must give sentence-transformers' own vectors: scripts, forms and lengths that differ."""

import unicodedata
from typing import Any

KOREAN = [
    "갈비탕",
    "김치찌개",
    "된장찌개 맛있게 끓이는 법",
    "얼큰한 국물이 있는 저녁 메뉴",
    "아이가 잘 먹는 간단한 반찬",
    "에어프라이어로 만드는 닭다리 구이 180℃ 20분",
    "돼지고기 300g, 두부 ½모, 대파 1대로 만드는 찌개",
    "ㅋㅋㅋ 맛있겠다 ㅠㅠ",
    "비건 레시피(고기·우유·달걀 없음)",
    "떡볶이~ 매운맛 100%!",
    "겉바속촉",
    "ㄱ",
]

OTHER_SCRIPTS = [
    "chicken soup with garlic",
    "How do I make a creamy mushroom risotto without wine?",
    "肉じゃがの作り方",
    "カレーライス",
    "ﾗｰﾒﾝ",
    "すき焼き（牛肉）",
    "红烧肉怎么做",
    "蔥油餅",
    "وصفة الكبسة بالدجاج",
    "שקשוקה",
    "борщ со сметаной",
    "Вареники з вишнею",
    "σπανακόπιτα",
    "ข้าวผัดกุ้ง",
    "फूलगोभी की सब्ज़ी",
    "phở bò Hà Nội",
    "crème brûlée à la vanille",
    "Käsespätzle mit Röstzwiebeln",
    "smørrebrød på rugbrød",
    "İskender kebap, ILIK",
    "STRASSE straße",
    "paella valenciana ¡qué rica!",
]

FORMS = [
    "🍲",
    "👩‍🍳👨🏽‍🍳 김밥 🇰🇷",
    "ﬁne ﬂour, eﬃcient oﬀer",
    "①②③ ㎏ ㎖ ℃ ½ Ⅳ",
    "ＦＵＬＬ　ＷＩＤＴＨ　１２３",
    "갈\u200b비\u200b탕",
    "김\u200d치\ufeff찌개",
    "soft\u00adhyphen\u2060joined",
    "right\u202eleft\u202c",
    "a\u0301e\u0302o\u0308 e\u0301\u0323",
    "tab\tnew\nline\r\nmixed\x0bspaces\u00a0\u2003\u3000end",
    "   leading and trailing   ",
    " ",
    "\t\n ",
    "\u3000",
    "\u200b",
    "nul\x00inside",
    "\x01\x02control\x7f",
    "\ufffd replacement",
    "a",
    ".",
    "!!!???...",
    "1234567890",
    "<s> </s> <pad> <mask>",
    "[CLS] [SEP] [PAD] [MASK] [UNK]",
    "https://example.com/recipe?id=1&q=김치",
    '{"json": ["in", "text"]}',
    "SELECT * FROM recipes; --",
    "x" * 300,
    "가나다라마바사" * 60,
    "\U00020000\U0001f9c0𝒜𝓁𝓁",
]

LONG = [
    ("소고기 무국을 끓이려면 먼저 무를 나박썰기하고 소고기는 핏물을 뺀다. " * 40)[:1000],
    ("Stir the onions until golden, add the garlic and the stock, then simmer. " * 20)[:1000],
]

PARITY_TEXTS = [
    *KOREAN,
    *(unicodedata.normalize("NFD", text) for text in KOREAN[:6]),
    *OTHER_SCRIPTS,
    *FORMS,
    *LONG,
]


def texts_at_the_limit(tokenizer: Any, max_seq_length: int) -> list[str]:
    """Texts of exactly one token under, at and one over `max_seq_length`, special tokens counted.

    `tokenizer` is the original's, from transformers; a prompt's tokens are not counted, so that a model which has one
    cuts them all.
    """
    # One word that is one token, whichever tokenizer it is.
    word = next(word for word in ("무", "a") if len(tokenizer(word)["input_ids"]) == 3)
    texts = []
    for wanted in (max_seq_length - 1, max_seq_length, max_seq_length + 1):
        text = " ".join([word] * (wanted - 2))
        found = len(tokenizer(text, truncation=False)["input_ids"])
        assert found == wanted, f"{found} tokens where {wanted} were wanted"
        texts.append(text)
    return texts
