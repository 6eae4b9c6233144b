"""What is said of a dataset in its card and in Croissant alike."""

from bolid_data import words
from bolid_data.shards.publish.contents import Contents

BASES = {
    "consent": "the person agreed to it",
    "contract": "a contract with the person, such as a model release",
    "licence": "a licence of the photos, whose terms the person has accepted",
    "legitimate_interest": "a legitimate interest, weighed against the person's",
    "own_photos": "the person published their own photos here",
    "synthetic": "nobody: the person does not exist",
}
"""The usual words for a basis; any other text stands for itself."""

_SOURCES = {
    "theplace": "the galleries of a web site, as far as its robots.txt and its owners' opt-outs allow",
    "folder": "a folder of photos, one for each person",
    "urls": "a list of web addresses, one for each photo, as far as their owners' opt-outs allow",
}


def description(contents: Contents) -> str:
    what = "Drawn pictures" if contents.is_synthetic else "Photos"
    return (
        f"{what} of {words.people(len(contents.basis))}, grouped by person, with captions and keypoints: "
        f"{words.photos(contents.photos)} in {words.counted(len(contents.splits), 'split')}."
    )


def collection(contents: Contents) -> str:
    source = contents.lock.get("source", {})
    if source.get("serve_gallery"):
        return "Drawn by a program: the embedded gallery of bolid."
    kind = source.get("kind", "")
    return f"Collected from {_SOURCES.get(kind, 'a source that the lock does not name')}."


def collection_types(contents: Contents) -> list[str]:
    if contents.is_synthetic:
        return ["Synthetic data"]
    return ["Web Scraping"] if contents.lock.get("source", {}).get("kind") in ("theplace", "urls") else ["Others"]


def preprocessing(contents: Contents) -> list[str]:
    return [
        "Photos were measured by models and judged by thresholds: size, number of people and faces, visible keypoints, "
        "watermarks, near copies. README.md lists the thresholds.",
        "JPEGs are upright, in sRGB, without EXIF or other metadata.",
    ]


def sensitive(contents: Contents) -> list[str]:
    """What personal data it holds."""
    if contents.is_synthetic:
        return ["None: nobody on the pictures exists."]
    held = [
        "Photos of people whose faces and bodies can be recognised. The photos of one person are linked by a slug, "
        "which may be made of the person's name.",
        "A photo can reveal health, ethnicity, religion or sexual orientation.",
    ]
    if contents.with_lock:
        held.append("The lock has people's names and the addresses of photos, also of photos that are not in the tars.")
        if contents.lock.get("judgement") and contents.lock["judgement"].get("identity"):
            held.append("The measurements have an embedding of each person's face or body, which is biometric data.")
    return held


def uses(contents: Contents) -> list[str]:
    return ["Training and evaluating models that generate images of people from a text and photos of the person."]


def limitations(contents: Contents) -> list[str]:
    return [
        "Who is in it depends on the source: it represents no population.",
        "Not for identifying, tracking or classifying people, nor for images of somebody who did not agree to them.",
    ]
