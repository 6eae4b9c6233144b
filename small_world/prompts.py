"""Captions that say one thing, by which CLIPs are trained and asked what a photo shows."""

from small_world.worlds import FLAT, UNSAID, World

_NOT_ASKED = {FLAT.name: ("bottom", "legs")}  # nor were they when its committed CLIPs were trained


def prompts(world: World) -> dict[str, list[str]]:
    """By attribute, a caption for each of its labels but that of "": "a photo of a person, in a red top", "… blue top".

    What belongs to a garment is said of the first garment: only it differs, whatever a photo's garment is.
    """
    owners = {name: owner for owner, belongings in world.belongings.items() for name in belongings}
    return {
        name: [_prompt(world, {owners.get(name, name): 0, name: label}) for label, word in enumerate(words) if word]
        for name, words in world.words.items()
        if name not in _NOT_ASKED.get(world.name, ())
    }


def _prompt(world: World, said: dict[str, int]) -> str:
    return world.sentence([said.get(name, UNSAID) for name in world.attributes])
