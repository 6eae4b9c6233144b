"""`python -m benchmarks.identity PEOPLE [--groups FOLDER]`: how far faces by dlib-face tell real people apart.

PEOPLE has a folder of photos per person, who is the largest on each; FOLDER has photos of groups, on each of which
everybody is somebody else. It prints the cosines of pairs, and how many odd ones out are found at which false alarms.
"""

import argparse
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from bolid_data.curate.identity_similarity import similarity_to_others
from bolid_data.curate.measurers.dlib_face import DlibFaceMeasurer
from bolid_data.curate.measurers.measurer import Keypoints, Photo
from bolid_data.curate.measurers.people import PoseMeasurer
from bolid_data.images import read_upright
from bolid_data.manifest import CALIBRATED_LIKENESS

_MIN_SCORE, _MIN_PHOTOS = 0.5, 3  # of a detected person; of a person into whose photos others are put


class Faces:
    def __init__(self) -> None:
        self._pose = PoseMeasurer()
        self._people: dict[str, Keypoints] = {}
        self._faces = DlibFaceMeasurer(self._pose.model, lambda _: self._people)

    def on(self, file: Path, largest: bool) -> Iterator[np.ndarray]:
        """The embeddings of the people on a photo, or only that of the largest."""
        photo = Photo(str(file), read_upright(file))
        people = [row for row in self._pose.measure([photo])["detections"] if row["score"] >= _MIN_SCORE]
        people.sort(key=lambda row: -(row["box"][2] - row["box"][0]) * (row["box"][3] - row["box"][1]))
        for row in people[:1] if largest else people:
            self._people = {photo.sha256: row["keypoints"]}
            yield from (np.array(face["vector"]) for face in self._faces.measure([photo])["embeddings"])


def main(people: Path, groups: Path | None) -> None:
    faces, names, vectors = Faces(), [], []
    for folder in sorted(path for path in people.iterdir() if path.is_dir() and path != groups):
        found = [face for file in sorted(folder.iterdir()) for face in faces.on(file, largest=True)]
        names += [folder.name] * len(found)
        vectors += found
    apart = [list(faces.on(file, largest=False)) for file in sorted(groups.iterdir())] if groups else []
    strangers = [face for group in apart for face in group]
    pairs = list(combinations(zip(names, vectors, strict=True), 2))
    same = [a @ b for (one, a), (other, b) in pairs if one == other]
    different = [a @ b for (one, a), (other, b) in pairs if one != other]
    different += [a @ b for a in vectors for b in strangers] + [a @ b for g in apart for a, b in combinations(g, 2)]
    for what, cosines in (("one person", same), ("different people", different)):
        if cosines:
            low, median, high = np.quantile(cosines, [0, 0.5, 1])
            print(f"{what}: {len(cosines)} pairs, cosine {low:.3f} to {high:.3f}, median {median:.3f}")
    limit, odd, own = CALIBRATED_LIKENESS["dlib-face"], [], []
    for person in sorted(set(names)):
        photos = [vector for name, vector in zip(names, vectors, strict=True) if name == person]
        others = [vector for name, vector in zip(names, vectors, strict=True) if name != person] + strangers
        for other in others if len(photos) >= _MIN_PHOTOS else []:
            similarities = similarity_to_others(np.array([*photos, other]))
            odd.append(similarities[-1])
            own += list(similarities[:-1])
    if odd:
        found, alarms = sum(value < limit for value in odd), sum(value < limit for value in own)
        print(f"odd ones out below {limit}: {found} of {len(odd)} found, {alarms} of {len(own)} false alarms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("--groups", type=Path)
    arguments = parser.parse_args()
    main(arguments.people, arguments.groups)
