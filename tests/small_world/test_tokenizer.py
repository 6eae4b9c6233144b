"""The small SDXL's tokenizer."""

from small_world.tokenizer import build_tokenizer


def test_the_tokenizer_takes_any_text_and_keeps_its_words_whole() -> None:
    tokenizer = build_tokenizer()
    assert len(tokenizer.tokenize("a person wearing red trousers")) == 5
    for text in ("naïve zebra, 42!", "человек", "🙂"):
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids).replace(" ", "") == text.replace(" ", "")
