"""The words of the village: people, places, things and feelings, in English and in Chinese.

Some words are chosen to be two words at once, as in any language: Rose and a rose, Will and will,
the saw and she saw, the green and a green scarf, Milton the man and Milton the farm. A list of
names can't tell them apart; a reader of the sentence can.

But: no grammar here (see `grammar.py`), and no sentences (see `phrases.py`).
"""

from typing import NamedTuple


class Person(NamedTuple):
    """A villager: English name, Chinese name, and the pronouns that point back to them."""

    name: str
    zh: str
    he: str
    him: str
    zh_he: str


class Place(NamedTuple):
    """A place: its name, how it stands after "to" and how one is there, and both in Chinese."""

    name: str
    there: str  # "the mill", as in "went to the mill"
    at: str  # "at the mill"
    zh: str  # 磨坊
    zh_at: str  # 磨坊里


class Thing(NamedTuple):
    """A thing that one person can carry, its Chinese name, and the word that counts it."""

    name: str
    zh: str
    measure: str  # 盏, as in 一盏灯: Chinese counts with a word that depends on the thing


def _people(text: str, he: str, him: str, zh_he: str) -> list[Person]:
    pairs = (word.split("/") for word in text.split())
    return [Person(name, zh, he, him, zh_he) for name, zh in pairs]


PEOPLE = [
    *_people(
        "Anna/安娜 Rose/罗丝 May/梅 June/琼 Hope/霍普 Joy/乔伊 "
        "Clara/克拉拉 Ella/艾拉 Nora/诺拉 Ashley/阿什莉 Beverley/贝弗莉 Shirley/雪莉",
        "she",
        "her",
        "她",
    ),
    *_people(
        "Will/威尔 Mark/马克 Robin/罗宾 Tom/汤姆 Ben/班恩 Jack/杰克 "
        "Peter/彼得 Otto/奥托 Sam/萨姆 Milton/米尔顿 Preston/普雷斯顿 Chester/切斯特",
        "he",
        "him",
        "他",
    ),
]


def _place(there: str, preposition: str, zh: str, zh_in: str = "里") -> Place:
    name = there.removeprefix("the ")
    return Place(name, there, f"{preposition} {there}", zh, zh + zh_in)


PLACES = [
    _place("the mill", "at", "磨坊"),
    _place("the garden", "in", "花园"),
    _place("the well", "by", "井边", ""),
    _place("the church", "at", "教堂"),
    _place("the bakery", "at", "面包房"),
    _place("the inn", "at", "客栈"),
    _place("the forge", "at", "铁匠铺"),
    _place("the green", "on", "草地", "上"),
    _place("the bridge", "on", "桥上", ""),
    _place("the market", "at", "集市", "上"),
    _place("the school", "at", "学校"),
    _place("the barn", "in", "谷仓"),
    _place("the orchard", "in", "果园"),
    _place("the spring", "by", "泉边", ""),
    _place("the rose garden", "in", "玫瑰园"),
    _place("the bell tower", "in", "钟楼"),
    _place("Rose Cottage", "at", "玫瑰小屋"),
    _place("Robin Hill", "on", "知更鸟山", "上"),
    # Farms around the village; many an English place and an English family share a name.
    _place("Ashley", "at", "阿什莉农庄"),
    _place("Beverley", "at", "贝弗莉农庄"),
    _place("Shirley", "at", "雪莉农庄"),
    _place("Milton", "at", "米尔顿农庄"),
    _place("Preston", "at", "普雷斯顿农庄"),
    _place("Chester", "at", "切斯特农庄"),
]


_THINGS = (
    "lamp/灯/盏 apple/苹果/个 bell/铃铛/个 book/书/本 key/钥匙/把 letter/信/封 rope/绳子/根 "
    "basket/篮子/个 hat/帽子/顶 coat/外套/件 ring/戒指/枚 saw/锯子/把 watch/怀表/块 "
    "rose/玫瑰/朵 orange/橙子/个 kite/风筝/只 spade/铲子/把 drum/鼓/面 flute/笛子/支 "
    "coin/硬币/枚 candle/蜡烛/支 jug/水罐/个 pie/馅饼/个 comb/梳子/把 scarf/围巾/条 "
    "blanket/毯子/条 broom/扫帚/把 net/渔网/张 cup/杯子/个 map/地图/张 "
    "bucket/水桶/个 hammer/锤子/把 mirror/镜子/面 needle/针/根 pan/平底锅/个 pear/梨/个 "
    "plate/盘子/个 shell/贝壳/枚 spoon/勺子/把 violin/小提琴/把"
)
THINGS = [Thing(*entry.split("/")) for entry in _THINGS.split()]


class Feeling(NamedTuple):
    """Two opposite feelings, and both in Chinese."""

    good: str
    bad: str
    zh_good: str
    zh_bad: str


_FEELINGS = (
    "happy/sad/快乐/悲伤 glad/upset/高兴/难过 cheerful/gloomy/愉快/忧郁 "
    "calm/worried/安心/担心 merry/miserable/欢快/难受 hopeful/discouraged/乐观/灰心 "
    "brave/afraid/勇敢/害怕 pleased/angry/满意/生气 delighted/disappointed/欣喜/失望"
)
FEELINGS = [Feeling(*entry.split("/")) for entry in _FEELINGS.split()]

# How a thing looks when the story first names it.
ADJECTIVES = {
    "old": "旧",
    "new": "新",
    "small": "小小的",
    "fine": "精美的",
    "green": "绿色的",
    "orange": "橙色的",
    "red": "红色的",
    "blue": "蓝色的",
}
UNPAINTED = {"orange", "rose", "apple", "pear", "pie", "letter"}  # no green pies, no orange oranges

PERSON = {person.name: person for person in PEOPLE}
PLACE = {place.name: place for place in PLACES}
THING = {thing.name: thing for thing in THINGS}
FEELING = {word: feeling for feeling in FEELINGS for word in (feeling.good, feeling.bad)}
