"""Stand-in models: the exact shape of paraphrase-multilingual-MiniLM-L12-v2 on seeded random weights.

For machines that reach no model hub. The vectors mean nothing; sizes, speed, memory and numerics are the model's own.
`python -m export.stand_in FOLDER` writes one in sentence-transformers layout; `--small` a quick one for tests.
"""

import argparse
import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from export.layout_files import nmt_nfkc, sentencepiece_model, write_modules, write_tokenizer

CORPUS = Path(__file__).resolve().parent.parent / "tests" / "data" / "recipes.txt"


@dataclass(frozen=True)
class Shape:
    """What sets the cost of a model."""

    layers: int
    width: int
    heads: int
    inner: int
    vocabulary: int
    positions: int = 512
    max_seq_length: int = 128


# Of the model's config.json and sentence_bert_config.json.
MULTILINGUAL_MINILM_L12 = Shape(layers=12, width=384, heads=12, inner=1536, vocabulary=250_037)
SMALL = Shape(layers=2, width=64, heads=4, inner=128, vocabulary=8_000)

_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]  # ids 0 to 3, as XLM-RoBERTa has them; <mask> comes last


def write_stand_in(folder: Path, shape: Shape, corpus: Path = CORPUS, seed: int = 20) -> None:
    """Writes the model into `folder` (made where it is missing). Equal arguments give equal files."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_encoder(folder, shape, seed)
    tokenizer = train_tokenizer(corpus.read_text(encoding="utf-8").splitlines(), shape.vocabulary, seed)
    write_tokenizer(folder, tokenizer)
    write_modules(folder, shape.width, shape.max_seq_length, normalizes=False)


def _write_encoder(folder: Path, shape: Shape, seed: int) -> None:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=shape.positions,
        pad_token_id=0,  # as in the original's config.json, whatever its tokenizer says
    )
    model = BertModel(config).eval()
    with torch.no_grad():
        # BERT's initial weights are so small that a layer hardly changes its input; trained ones are larger. Larger
        # weights make an error of a layer show in the vectors.
        for name, parameter in model.named_parameters():
            if "LayerNorm" not in name and "embeddings" not in name and parameter.dim() == 2:
                parameter.mul_(2.0)
    model.save_pretrained(folder)


def train_tokenizer(lines: Sequence[str], vocabulary: int, seed: int) -> Tokenizer:
    """A Unigram tokenizer as XLM-RoBERTa's: SentencePiece's `nmt_nfkc` normalizer, `▁` for spaces, `<s> … </s>`.

    A small corpus gives some thousand pieces; the rest, up to `vocabulary`, are made up and score so low that they
    are hardly ever chosen: they give the tokenizer its real size in memory.
    """
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=trained,
        model_type="unigram",
        vocab_size=min(6_000, vocabulary),
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="nmt_nfkc",
        num_threads=1,
        minloglevel=2,
    )
    model = sentencepiece_model(trained.getvalue())
    pieces = [(piece.piece, piece.score) for piece in model.pieces if piece.type == piece.NORMAL]
    pieces = [(token, 0.0) for token in _SPECIAL] + pieces
    taken = {token for token, _ in pieces}
    lowest = min(score for _, score in pieces)
    # The original's tokenizer ends at 250,002 and its table at 250,037: some rows no token points to.
    size = vocabulary - 35
    for filler in _fillers(seed):
        if len(pieces) == size - 1:
            break
        if filler not in taken:
            taken.add(filler)
            pieces.append((filler, lowest - 10.0))
    pieces.append(("<mask>", 0.0))

    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=_SPECIAL.index("<unk>"), byte_fallback=False))
    tokenizer.normalizer = nmt_nfkc()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


# First and last letter: Hangul, CJK, Cyrillic, Latin; and how often each is taken.
_SCRIPTS = ((0xAC00, 0xD7A3), (0x4E00, 0x9FA5), (0x0430, 0x044F), (ord("a"), ord("z")))
_SCRIPT_WEIGHTS = (1, 1, 1, 3)


def _fillers(seed: int) -> Iterator[str]:
    """Endless made-up pieces, half of them an earlier piece and one letter more.

    So it is in trained vocabularies, and it decides how much memory the tokenizer's trie takes.
    """
    generator = random.Random(seed)
    made: dict[tuple[int, int], list[str]] = {script: [] for script in _SCRIPTS}
    while True:
        (script,) = generator.choices(_SCRIPTS, _SCRIPT_WEIGHTS)
        earlier = made[script]
        if earlier and generator.random() < 0.5:
            piece = generator.choice(earlier) + chr(generator.randint(*script))
        else:
            letters = (chr(generator.randint(*script)) for _ in range(generator.randint(2, 4)))
            piece = generator.choice(("▁", "")) + "".join(letters)
        earlier.append(piece)
        yield piece


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m export.stand_in", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="2 layers of width 64 instead of 12 of width 384")
    options = parser.parse_args()
    write_stand_in(options.folder, SMALL if options.small else MULTILINGUAL_MINILM_L12)
    print(f"Wrote {options.folder}. Run it with: make run MODEL={options.folder}")


if __name__ == "__main__":
    main()
