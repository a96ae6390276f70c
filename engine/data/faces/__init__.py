"""Faces for people without data: drawn heads in the manner of manga, tagged with a colour of hair and one of eyes.

`faces` in `dataset.py` draws the data set, which `sources.py` names; `read_tags` in `reading.py` finds both colours
again in the pixels of any such picture. Read next: `dataset.py`, then `drawing.py`, which draws one face.
"""

from inachus.engine.data.faces.dataset import EYES, HAIR, draw_faces, faces
from inachus.engine.data.faces.reading import read_tags

__all__ = ["EYES", "HAIR", "draw_faces", "faces", "read_tags"]
