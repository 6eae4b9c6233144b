"""The class word of a prompt, such as "woman", at which PhotoMaker puts the person (Li et al. 2024, section 3.2).

B rows of L tokens, as the tokenizer gives them: the start token first, padded to L.
"""

import torch
from torch import Tensor

from bolid_data.errors import UsageError
from bolid_train.data.features.tokens import CLASS_WORDS, TRIGGER, class_word


def without_trigger(prompt: str, has_photos: bool) -> str:
    """The prompt as text, without the trigger. Raises UsageError for a prompt in which photos have no place."""
    text, span = class_word(prompt)
    if has_photos and not span:
        raise UsageError(
            f"the prompt '{prompt[:80]}' has no word for the person; write one of {', '.join(CLASS_WORDS)}, or "
            f"'{TRIGGER}' after another word, as in 'a wizard {TRIGGER}'"
        )
    return text


def repeat_class_word(ids: Tensor, class_tokens: Tensor, copies: Tensor) -> tuple[Tensor, Tensor]:
    """Writes the class word once for each identity token.

    The rest of the prompt moves back; what moves beyond L is cut off, the end token included.

    Args:
        ids: (B, L). class_tokens: bool (B, L), the tokens of the class word, of which the last one is repeated.
        copies: (B,), how many there are to be, the first one included; 0 leaves the row as it is.

    Returns:
        The ids (B, L), and bool (B, L): where the copies are. A row without a class word stays as it is, and has none.
    """
    places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    last = torch.where(class_tokens, places, -1).amax(1, keepdim=True)
    copies = torch.where(last < 0, 0, copies[:, None])
    source = torch.where(places <= last, places, (places - (copies - 1).clamp(min=0)).clamp(min=last.clamp(min=0)))
    return ids.gather(1, source), (places >= last) & (places < last + copies)


def remove_trigger(ids: Tensor, trigger: int, padding: int) -> tuple[Tensor, Tensor]:
    """Removes the trigger from each row that has one; `padding` fills the row.

    Returns:
        The ids (B, L), and bool (B, L): the token before the trigger, which is the class word's.
    """
    places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    is_trigger = ids == trigger
    first = torch.where(is_trigger, places, ids.shape[1]).amin(1, keepdim=True)
    longer = torch.cat([ids, ids.new_full((len(ids), 1), padding)], dim=1)
    return longer.gather(1, places + (places >= first)), places == first - 1
