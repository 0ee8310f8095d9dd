"""EDS: three scanners ("domains"), each in Pascal VOC form with folders of its own names."""

from __future__ import annotations

from collections.abc import Iterator

from leadline.datasets.public import form_voc
from leadline.datasets.public.folder import Folder, read_text
from leadline.datasets.public.scans import Found, Report, SetError, Unfit

DOMAINS = ("domain1", "domain2", "domain3")


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """`domainN/labels/ID.xml`, pictures in `domainN/images/`, lists `domainN/train.txt` and `val.txt`.

    The domain is the part. A picture without XML is not labelled.
    """
    domains = [name for name in DOMAINS if (folder.root / name / "images").is_dir()]
    if not domains:
        raise Unfit("has no domain1/images, domain2/images or domain3/images")
    for name in domains:
        top = folder.root / name
        splits = {
            line.split()[0]: split
            for split in ("train", "val", "test")
            if (top / f"{split}.txt").is_file()
            for line in read_text(top / f"{split}.txt").splitlines()
            if line.strip()
        }
        pictures = {path.stem: path for path in folder.files((".jpg", ".jpeg", ".png"), top / "images")}
        for source in folder.files((".xml",), top / "labels"):
            path = pictures.pop(source.stem, None)
            try:
                if path is None:
                    raise SetError(source, f"labels {source.stem}, which is not in {name}/images", "add the picture")
                labels = form_voc.read_labels(source, report)
            except SetError as error:
                report(error)
                continue
            found = Found(path, labels.boxes, (), splits.get(path.stem), f"{name}/{path.stem}", part=name)
            found.source, found.size = source, labels.size
            yield found
        for path in pictures.values():
            yield Found(path, split=splits.get(path.stem), group=f"{name}/{path.stem}", part=name)
