"""The system's sentences in Chinese, for operators who read that.

The engine words its reasons in English (`leadline.inference.reasons`), and so they stand in the ledger.
Each sentence has one pattern here; a test holds every sentence of `reasons` against them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from leadline.datasets.scan import Declaration

FAMILIES = {
    "organic and plastic": "有机物和塑料",
    "mineral and ceramic": "矿物和陶瓷",
    "light metal": "轻金属",
    "steel and iron": "钢铁",
    "copper alloys": "铜合金",
    "lead": "铅",
    "other heavy": "其他重物质",
    "antimony": "锑",
    "rare-earth oxide": "稀土氧化物",
    "rare-earth magnet": "稀土磁体",
}
"""Titles of families, as in `datasets/data/materials.toml`."""

PHRASES = [
    (r"(\d+) regions of (.+?) in all, the largest (.+)", r"共 \1 个区域、合计 \2（最大 \3）"),
    (r"(\d+) regions of ([\d,]+) pixels", r"共 \1 个区域、合计 \2 像素"),
    (r"a region of ([\d,]+) pixels", r"一个 \1 像素的区域"),
    (r"a region of (.+)", r"一个 \1 的区域"),
    (r"[Tt]he goods", "货物"),
    (r"nothing is declared", "未申报任何货物"),
    (r"(.+) is declared", r"申报为\1"),
    (r"about (.+)", r"约 \1"),
    (r"(.+) to (.+)", r"\1 至 \2"),
]

SENTENCES = [
    (r"Undeclared watch-list material is likely: score (\S+), threshold (\S+); (.+)\.",
     "很可能含有未申报的监控物质：评分 {0}，阈值 {1}；{2}。"),
    (r"No sign of undeclared watch-list material: score (\S+), threshold (\S+)\.",
     "没有未申报监控物质的迹象：评分 {0}，阈值 {1}。"),
    (r"A region(?: of (.+?))?(?:, ([^,]+),)? looks like (.+), probability (.+)\.",
     "一个{0}区域{1}看起来像{2}，概率 {3}。"),
    (r"(\d+) more places? looks? like watch-list material\.", "另有 {0} 处看起来像监控物质。"),
    (r"At megavolt energies antimony and lead have nearly the same energy ratio: shape, mass and declaration must tell "
     r"them apart\.", "在兆伏能量下，锑和铅的能量比几乎相同：只能靠形状、质量和申报来区分。"),
    (r"Other heavy powders, such as barium and tin compounds, look much like rare-earth oxide at these energies\.",
     "钡、锡化合物等其他重粉末在这些能量下与稀土氧化物几乎相同。"),
    (r"The energies tell rare-earth magnets from iron and steel only weakly here\.",
     "此处双能量只能勉强将稀土磁体与钢铁区分。"),
    (r"Tin, silver and barium compounds look much like antimony at these energies\.",
     "锡、银、钡的化合物在这些能量下与锑几乎相同。"),
    (r"Barium, tin and antimony compounds look much like rare-earth oxide at these energies\.",
     "钡、锡、锑的化合物在这些能量下与稀土氧化物几乎相同。"),
    (r"Steel mixed with a heavier metal looks much like rare-earth magnets at these energies\.",
     "混有较重金属的钢在这些能量下与稀土磁体几乎相同。"),
    (r"Nothing penetrates ([^;]+); (.+), which does not explain it\. What lies there was not seen\.",
     "射线无法穿透{0}；{1}，但这不能解释。那里有什么并未看到。"),
    (r"Nothing penetrates ([^;]+); (.+) that would explain it\. What lies there was not seen\.",
     "射线无法穿透{0}；{1}，无从解释。那里有什么并未看到。"),
    (r"Nothing penetrates (.+), as (.+) may honestly do; it was not seen through\.",
     "射线无法穿透{0}；{1}本身可能如此，但未被看透。"),
    (r"Nothing penetrates (.+ %) of the goods\. (.+) may honestly do that, but they were not screened: scan at a "
     r"higher energy or from another side\.",
     "射线无法穿透 {0} 的货物。{1}本身可能如此，但未经检查：请用更高能量或从另一侧扫描。"),
    (r"What was found looks like (.+), probability (.+?), and the declaration \((.+)\) explains it: score (\S+), "
     r"threshold (\S+)\.", "所发现的看起来像{0}，概率 {1}，申报（{2}）可以解释：评分 {3}，阈值 {4}。"),
    (r"The scan is unlike those the model was fitted on \((\S+) times the accepted distance\): check scanner kind and "
     r"settings; a person must judge it\.",
     "该扫描与模型训练所用的扫描不同（为可接受距离的 {0} 倍）：请检查扫描仪类型和设置；须由人判断。"),
    (r"Only one energy was measured: materials cannot be told\. Scan with two energies\.",
     "只测量了一种能量：无法辨别物质。请用双能量扫描。"),
    (r"Transmissions were estimated from the vendor's colours: materials can hardly be told and masses are rough\. Use "
     r"the scanner's 16-bit data for a verdict that counts\.",
     "透射率由厂商伪彩色估算：几乎无法辨别物质，质量也只是粗略值。请使用扫描仪的 16 位数据。"),
    (r"The colours leave the attenuation of the goods open by (.+) and their energy ratio by (.+); "
     r"the mass ranges allow for it\.",
     "伪彩色使货物的衰减不确定 {0}，能量比不确定 {1}；质量区间已计入这一点。"),
    (r"In (.+) of the goods only the high energy gets through: materials cannot be told there\.",
     "在 {0} 的货物中只有高能量能穿透：那里无法辨别物质。"),
    (r"Nothing arrives in (.+) of the picture: check that the beam was on and the file is whole, and scan again\.",
     "图像的 {0} 没有信号：请检查射线是否开启、文件是否完整，然后重新扫描。"),
    (r"The low-energy channel is more transparent than the high-energy one, which no goods are: the channels are "
     r"swapped or wrongly normalised\.", "低能通道比高能通道更透明，任何货物都不会如此：通道被互换或归一化有误。"),
    (r"Too noisy: (.+) a pixel in the bright parts, (.+) is the most that can be judged\.",
     "噪声过大：亮区每像素 {0}，最多 {1} 才能判断。"),
    (r"(.+) of the pixels are clipped below the open beam: check gain and file, and scan again\.",
     "{0} 的像素在空气值以下被截断：请检查增益和文件，然后重新扫描。"),
    (r"(\d+) lines of the picture read nothing: check the detector, and scan again\.",
     "图像有 {0} 行没有读数：请检查探测器，然后重新扫描。"),
    (r"The open beam reads (\S+) instead of 1: calibrate the scanner with an empty lane, and scan again\.",
     "空气读数为 {0} 而不是 1：请在空通道下校准扫描仪，然后重新扫描。"),
]  # fmt: skip

_COMPILED = [(re.compile(pattern), form) for pattern, form in SENTENCES]


def translate(sentence: str) -> str:
    """A sentence of `reasons` in Chinese; one that is unknown stays as it is."""
    for pattern, form in _COMPILED:
        if found := pattern.fullmatch(sentence):
            return _filled(form, [_phrase(group) for group in found.groups()])
    return sentence


def family(title: str) -> str:
    """A family's title in Chinese."""
    return FAMILIES.get(title, title)


def declared(declaration: Declaration, english: str) -> str:
    """The declared goods in words."""
    if not declaration.hs_code and not declaration.description:
        return "未申报任何货物"
    return english.replace("nothing declared", "未申报任何货物")


def _phrase(text: str | None) -> str:
    """A part of a sentence: a family, an extent, a mass, the declaration."""
    if text is None:
        return ""
    if text in FAMILIES:
        return FAMILIES[text]
    if text.startswith("“"):  # what the declarant wrote stays as it was written
        goods, quote, rest = text.rpartition("”")
        return "申报为" + goods + quote + rest.removesuffix(" is declared") if rest.endswith(" is declared") else text
    for pattern, form in PHRASES:
        if re.fullmatch(pattern, text):
            made: str | Callable[[re.Match[str]], str] = form
            return re.sub(f"^(?:{pattern})$", made, text)
    return text


def _filled(form: str, parts: list[str]) -> str:
    if form.startswith("一个{0}区域{1}"):  # area and mass may be missing
        area = f" {parts[0]} 的" if parts[0] else ""
        mass = f"（{parts[1]}）" if parts[1] else ""
        return form.format(area, mass, *parts[2:])
    return form.format(*parts)
