"""Names of customers in many scripts, the same ones in each run: some very common, many rare."""

from collections.abc import Iterator
from random import Random


def _words(text: str) -> list[str]:
    return text.split()


_LATIN = _words("""
    Anna Maria John James Emma Olivia Liam Noah Lucas Sophia Peter Laura Julia Max Felix Oscar Hugo Alice
    Grace Ruby Jack Harry Zoë Chloé Renée François Jürgen Søren Łukasz Zofia Marek Tomás Iván""")
_FAMILIES = _words("""
    Smith Johnson Williams Brown Jones Miller Davis Schmidt Müller Weber Fischer Meyer Dubois Bernard Rossi
    Russo Kowalski Nowak Hansen Olsen Jansen Visser Novák Horváth Nagy Silva Santos""")
_SPANISH = _words("José María Jesús Ángel Íñigo Begoña Inés Sofía Martín Andrés Raúl Mónica")
_SPANISH_FAMILIES = _words(
    "García López Martínez Sánchez Pérez Gómez Fernández Núñez Peña Ibáñez Muñoz Álvarez"
)
_CYRILLIC = _words("Иван Мария Сергей Ольга Дмитрий Анна Алексей Елена Фёдор Наталья")
_CYRILLIC_FAMILIES = _words("Иванов Смирнов Кузнецов Попов Васильев Петров Соколов Фёдоров Морозов")
_ARABIC = _words("محمد أحمد علي فاطمة عمر خالد مريم يوسف إبراهيم سارة")
_ARABIC_FAMILIES = _words("العلي الحسن المصري حداد خليل منصور سالم النجار الشريف قاسم")
_CHINESE_FAMILIES = "王王王王王王王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗"
_CHINESE = "明小伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛超霞平刚桂花文辉玲红建国志华海波"
_SYLLABLES = _words("ba be bi ka ke ki la le li ma me mi na ne ni ra re ri sa se si ta te ti va ve vi")


def names(count: int) -> Iterator[str]:
    """A third Chinese, of which a quarter is called 王; family names of others are often made up."""
    dice = Random(20260227)
    for _ in range(count):
        yield _name(dice)


def _name(dice: Random) -> str:
    share = dice.random()
    if share < 0.33:
        given = "".join(dice.choice(_CHINESE) for _ in range(dice.randint(1, 2)))
        return dice.choice(_CHINESE_FAMILIES) + given
    if share < 0.50:
        return f"{dice.choice(_SPANISH)} {dice.choice(_SPANISH_FAMILIES)} {dice.choice(_SPANISH_FAMILIES)}"
    if share < 0.60:
        return f"{dice.choice(_CYRILLIC)} {dice.choice(_CYRILLIC_FAMILIES)}"
    if share < 0.70:
        return f"{dice.choice(_ARABIC)} {dice.choice(_ARABIC_FAMILIES)}"
    if share < 0.85:
        return f"{dice.choice(_LATIN)} {dice.choice(_FAMILIES)}"
    made_up = "".join(dice.choice(_SYLLABLES) for _ in range(dice.randint(2, 4))).capitalize()
    return f"{dice.choice(_LATIN)} {made_up}"
