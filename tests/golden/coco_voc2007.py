"""What pycocotools gives for the detections on 800 photographs of VOC2007 in ../data/voc-eval: coco_voc2007.json.

    python3 -m venv venv && venv/bin/pip install pycocotools numpy && venv/bin/python coco_voc2007.py
"""

import contextlib
import csv
import gzip
import io
import json
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

FIGURES = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"]

here = Path(__file__).parent
objects = list(csv.DictReader(open(here / "../data/voc-eval/objects.csv")))
found = list(csv.DictReader(gzip.open(here / "../data/voc-eval/detections.csv.gz", "rt")))
images = {name: i + 1 for i, name in enumerate(sorted({row["image"] for row in objects + found}))}
classes = {name: i + 1 for i, name in enumerate(sorted({row["class"] for row in objects}))}


def box(row):
    x1, y1, x2, y2 = (float(row[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
    return [x1, y1, x2 - x1, y2 - y1]


def entry(row):
    return {"image_id": images[row["image"]], "category_id": classes[row["class"]], "bbox": box(row)}


annotations = [
    {"id": i + 1, "area": box(row)[2] * box(row)[3], "iscrowd": int(row["difficult"]), **entry(row)}
    for i, row in enumerate(objects)
]
truth = COCO()
truth.dataset = {
    "images": [{"id": i} for i in images.values()],
    "annotations": annotations,
    "categories": [{"id": i, "name": name} for name, i in classes.items()],
}
with contextlib.redirect_stdout(io.StringIO()):
    truth.createIndex()
    results = truth.loadRes([{"score": float(row["score"]), **entry(row)} for row in found])
    evaluation = COCOeval(truth, results, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
figures = dict(zip(FIGURES, map(float, evaluation.stats)))
(here / "coco_voc2007.json").write_text(json.dumps(figures, indent=1) + "\n")
