"""Instructions to captioners that come with BoLID, by the name of the captions and the word that stands for them in
`[caption.also]`."""

INSTRUCTIONS = {
    ("build", "neutral"): (
        "Describe only this person's build in one short, neutral sentence: frame, proportions of shoulders, torso, "
        "hips and limbs, and height as far as it can be seen. Leave out what is hidden. Do not mention clothes, pose, "
        "face, hair or background, do not judge or praise, and do not guess ethnicity, health, weight in numbers or "
        "age."
    )
}
