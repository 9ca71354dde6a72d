"""Draws a small set of boxes and detections, and writes it with the figures that pycocotools gives: coco_eval.json.

    python3 -m venv venv && venv/bin/pip install pycocotools numpy && venv/bin/python coco_eval.py
"""

import contextlib
import io
import json
import random
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

draw = random.Random(5)
CATEGORIES = [3, 7, 11]


def box(side):
    width, height = (round(side * draw.uniform(0.5, 1.5), 2) for _ in range(2))
    return [round(draw.uniform(0, 300), 2), round(draw.uniform(0, 300), 2), width, height]


images, annotations, detections = [], [], []
for image in draw.sample(range(1, 1000), 16):
    images.append({"id": image, "file_name": f"{image}.jpg", "width": 640, "height": 480})
    for category in CATEGORIES[:2]:
        for _ in range(draw.randrange(5)):
            bbox = box(draw.choice([12, 32, 60, 96, 180]))
            crowd = draw.random() < 0.15
            # As of an outline: less than the box's.
            area = round(bbox[2] * bbox[3] * draw.choice([1, 1, 0.6]), 2)
            annotation = {"id": len(annotations) + 1, "image_id": image, "category_id": category, "bbox": bbox}
            annotations.append(annotation | {"area": area, "iscrowd": int(crowd)})
            for _ in range(draw.choice([0, 1, 1, 2, 4])):
                near = [round(value + draw.gauss(0, 0.06) * side, 2) for value, side in zip(bbox, bbox[2:] * 2)]
                # Few different scores, so that many are equal.
                score = draw.randrange(1, 21) / 20
                detections.append({"image_id": image, "category_id": category, "bbox": near, "score": score})
    for category in CATEGORIES:
        for _ in range(draw.randrange(3)):
            score = draw.randrange(1, 21) / 20
            detections.append({"image_id": image, "category_id": category, "bbox": box(40), "score": score})
# More than are looked at in an image.
for _ in range(120):
    detections.append({"image_id": images[0]["id"], "category_id": 3, "bbox": box(50), "score": draw.randrange(1, 21) / 20})

truth = {
    "images": images,
    "annotations": annotations,
    "categories": [{"id": category, "name": f"class{category}"} for category in CATEGORIES],
}
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes([dict(detection) for detection in detections]), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
names = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"]
names += ["ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"]
figures = dict(zip(names, evaluation.stats.tolist()))
golden = {"truth": truth, "detections": detections, "figures": figures}
Path(__file__).with_name("coco_eval.json").write_text(json.dumps(golden) + "\n")
