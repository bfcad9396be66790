"""Invented people for the demo: names in many scripts and contact points, the same at every run."""

from dataclasses import dataclass
from random import Random

from crm_shared.database import Json

_SEED = 19980630


@dataclass(frozen=True)
class Locale:
    """Where somebody may come from; `mobile` is filled with digits where it says `#`."""

    language: str
    region: str
    time_zone: str
    mobile: str
    given: str
    family: str
    family_first: bool = False
    joined: str = " "


_LOCALES = (
    Locale(
        *("en-US", "US", "America/New_York", "+1201555####"),
        "Olivia Liam Emma Noah Ava James Sophia Henry Grace Samuel Hazel Owen",
        "Smith Johnson Brown O'Neill Miller Davis Wilson Moore Taylor Anderson Carter-Hughes",
    ),
    Locale(
        *("zh-CN", "CN", "Asia/Shanghai", "+86139########"),
        "小明 伟 芳 娜 敏 静 丽 强 磊 军 洋 艳 勇 杰 娟 涛 超 秀英 子涵 欣怡",
        "王 李 张 刘 陈 杨 黄 赵 吴 周 徐 孙 马 欧阳 司马",
        family_first=True,
        joined="",
    ),
    Locale(
        *("ja", "JP", "Asia/Tokyo", "+81901#######"),
        "太郎 花子 健一 さくら 陽子 翔太 美咲 大輔 ケンジ",
        "佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村",
        family_first=True,
    ),
    Locale(
        *("ko", "KR", "Asia/Seoul", "+8210########"),
        "민준 서연 도윤 하은 지호 수빈 예준 지민",
        "김 이 박 최 정 강 조 윤",
        family_first=True,
        joined="",
    ),
    Locale(
        *("ru", "RU", "Europe/Moscow", "+7912#######"),
        "Анна Дмитрий Ольга Сергей Мария Алексей Наталья Фёдор",
        "Коваленко Шевчук Мельник Бондаренко Лысенко Черных",
    ),
    Locale(
        *("ar", "AE", "Asia/Dubai", "+97150#######"),
        "محمد فاطمة أحمد عائشة علي مريم خالد نور",
        "الهاشمي المنصوري النعيمي الكعبي الشامسي",
    ),
    Locale(
        *("el", "GR", "Europe/Athens", "+30694#######"),
        "Γιώργος Μαρία Νίκος Ελένη Κώστας Σοφία",
        "Παπαδάκης Νικολάου Γεωργίου Ιωάννου",
    ),
    Locale(
        *("hi", "IN", "Asia/Kolkata", "+9198########"),
        "आरव अनन्या विवान दीया अर्जुन ईशा रोहन",
        "शर्मा पटेल गुप्ता वर्मा सिंह",
    ),
    Locale(
        *("es", "ES", "Europe/Madrid", "+34612######"),
        "Lucía Hugo María José Núria Íñigo Begoña Ángel",
        "García Fernández Núñez Ibáñez Muñoz Peña",
    ),
    Locale(
        *("pl", "PL", "Europe/Warsaw", "+48512######"),
        "Zofia Łukasz Małgorzata Wojciech Agnieszka Paweł",
        "Kowalczyk Wiśniewski Wójcik Kamiński Zieliński",
    ),
)


def invent(numbers: list[int], source: str) -> list[Json]:
    """A person for each number, as an item of the customers' batch; drawn in order, so always the same."""
    random = Random(_SEED)
    return [_person(random, number, source) for number in numbers]


def _person(random: Random, number: int, source: str) -> Json:
    locale = random.choice(_LOCALES)
    given, family = random.choice(locale.given.split()), random.choice(locale.family.split())
    names = (family, given) if locale.family_first else (given, family)
    return {
        "source": source,
        "external_id": f"{number:04d}",
        "name": locale.joined.join(names),
        "language": locale.language,
        "region": locale.region,
        "time_zone": locale.time_zone,
        "tags": ["cdnow"],
        "contact_points": [
            {"kind": "phone", "value": _digits(locale.mobile, number)},
            {"kind": "email", "value": f"customer{number:04d}@example.com"},
        ],
    }


def _digits(pattern: str, number: int) -> str:
    """The number, written into the places of the pattern: two people never share a phone."""
    places = pattern.count("#")
    return pattern.rstrip("#") + f"{number:0{places}d}"
