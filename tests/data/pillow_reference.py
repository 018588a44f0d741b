"""Run as a program: what Pillow alone makes of files. Reads frames of content, writes one JSON line for each.

A line has `size` where Pillow knows the format, and `loaded`: whether it also decodes the pixels. In a process of its
own, as it may crash.
"""

import json
import sys
import warnings
from io import BytesIO

from PIL import Image

from gingham.data.decode import FORMATS, MAX_PIXELS
from gingham.data.worker import read_frame


def opened(data: bytes) -> dict[str, object]:
    size, loaded = None, False
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
        size = image.size
        if image.width * image.height <= MAX_PIXELS:
            image.load()
            loaded = True
    except Exception:
        pass
    return {"size": size, "loaded": loaded}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    while True:
        try:
            content = read_frame(sys.stdin.buffer)
        except EOFError:
            break
        sys.stdout.write(json.dumps(opened(content)) + "\n")
        sys.stdout.flush()
