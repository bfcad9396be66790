"""What the columns of a file mean, guessed from how people head them in English, Chinese and Spanish."""

import re
from collections.abc import Collection, Mapping, Sequence
from unicodedata import combining, normalize

from crm_profiles.schemas.imports import ColumnIn, DateOrder

_WORDS: Mapping[str, str] = {
    "id": "customerid, crmid, 客户编号系统",
    "external_id": (
        "externalid, id, code, number, no, clientid, memberid, membernumber, memberno, customernumber,"
        " customerno, customercode, accountnumber, 编号, 客户编号, 客户号, 会员号, 会员编号, 会员卡号, 卡号,"
        " 用户编号, 用户id, 客户id, 会员id, 外部编号, codigo, numero, idcliente, codigocliente,"
        " numerodecliente, numerocliente, codigodecliente, numerodesocio, identificador"
    ),
    "name": (
        "name, fullname, customer, customername, client, clientname, contactname, displayname,"
        " 姓名, 名字, 名称, 客户, 客户姓名, 客户名称, 会员姓名, 联系人, 全名,"
        " nombre, nombrecompleto, nombreyapellidos, nombreyapellido, cliente, nombredelcliente, nombrecliente"
    ),
    "given_name": "givenname, firstname, forename, 名, nombredepila, primernombre, nombres",
    "family_name": "familyname, lastname, surname, 姓, 姓氏, apellido, apellidos",
    "phone": (
        "phone, phonenumber, telephone, tel, mobile, mobilephone, mobilenumber, cell, cellphone, workphone,"
        " homephone, 电话, 电话号码, 手机, 手机号, 手机号码, 移动电话, 联系电话, 联系方式, 固定电话,"
        " telefono, telefonomovil, movil, celular, numerodetelefono, telefonofijo"
    ),
    "email": (
        "email, emailaddress, mail, 邮箱, 电子邮箱, 电子邮件, 邮件, 邮箱地址, correo, correoelectronico,"
        " direcciondecorreo, direcciondecorreoelectronico"
    ),
    "social": "social, wechat, wechatid, weixin, whatsapp, qq, 微信, 微信号, qq号, 社交账号, redsocial",
    "language": "language, locale, preferredlanguage, lang, 语言, 首选语言, idioma, lengua",
    "time_zone": "timezone, tz, 时区, zonahoraria, husohorario",
    "region": "region, country, countrycode, 国家, 国家地区, 地区, 国家代码, pais, codigodepais",
    "gender": "gender, sex, 性别, genero, sexo",
    "occupation": "occupation, profession, job, jobtitle, 职业, 职务, ocupacion, profesion",
    "address.lines": (
        "addresslines, address, street, streetaddress, 地址, 详细地址, 街道, direccion, calle, domicilio"
    ),
    "address.district": "addressdistrict, district, 区, 区县, distrito",
    "address.city": "addresscity, city, town, 城市, 市, ciudad, localidad",
    "address.province": "addressprovince, province, state, county, 省, 省份, provincia, estado",
    "address.postal_code": (
        "addresspostalcode, postalcode, postcode, zip, zipcode, 邮编, 邮政编码, codigopostal, cp"
    ),
    "address.country": "addresscountry",
    "birth_date": (
        "birthdate, dateofbirth, birthday, dob, born, 生日, 出生日期, 出生年月日, 出生年月,"
        " fechadenacimiento, nacimiento, cumpleanos"
    ),
    "tags": "tags, tag, labels, label, groups, 标签, 客户标签, 分组, etiquetas, etiqueta",
}
_MEANINGS = {word.strip(): to for to, words in _WORDS.items() for word in words.split(",")}
MANY = frozenset({"phone", "email", "social", "tags"})
"""What several columns may hold."""

_NOT_A_WORD = re.compile(r"[\W_]+")
_DAY = re.compile(r"\s*(\d{1,4})\D+(\d{1,2})\D+(\d{1,4})")


def plain(heading: str) -> str:
    """The heading without case, accents, spaces and signs."""
    letters = normalize("NFKD", heading).casefold()
    return _NOT_A_WORD.sub("", "".join(letter for letter in letters if not combining(letter)))


def guess(
    header: Sequence[str], samples: Sequence[Sequence[str]], attributes: Collection[str] = ()
) -> list[ColumnIn]:
    """The columns whose headings are known; `attributes` are the keys of what else is kept of customers.

    Of two columns that mean the same, where only one may, the first counts.
    """
    keys = {plain(key): key for key in attributes}
    named = {f"attributes.{key}" for key in attributes}
    found: list[ColumnIn] = []
    taken: set[str] = set()
    for index, heading in enumerate(header):
        word = plain(heading)
        to = _MEANINGS.get(word) or (f"attributes.{keys[word]}" if word in keys else None)
        to = heading.strip() if heading.strip() in named else to
        if to is None or (to in taken and to not in MANY):
            continue
        taken.add(to)
        dates = order_of_dates(_column(samples, index)) if to == "birth_date" else None
        found.append(ColumnIn(column=index, to=to, dates=dates))
    return found


def confident(columns: Collection[ColumnIn], samples: Sequence[Sequence[str]]) -> bool:
    """Whether the guess may be acted upon without anybody looking at it.

    Where no sample has a date, the year is expected first: another order is refused row by row, not misread.
    """
    targets = {column.to for column in columns}
    named = bool(targets & {"name", "given_name", "family_name"})
    known = bool(targets & {"id", "external_id"})
    days = [_column(samples, column.column) for column in columns if column.to == "birth_date"]
    return named and known and all(order_of_dates(values) for values in days if values)


def order_of_dates(values: Sequence[str]) -> DateOrder | None:
    """How dates are written, if the samples leave no doubt."""
    orders: set[DateOrder] = set()
    for value in values:
        if match := _DAY.match(value):
            first, second, _ = match.groups()
            if len(first) == 4:
                orders.add(DateOrder.YMD)
            elif int(first) > 12:
                orders.add(DateOrder.DMY)
            elif int(second) > 12:
                orders.add(DateOrder.MDY)
        elif value.strip().isdecimal() and len(value.strip()) == 8:
            orders.add(DateOrder.YMD)
    return orders.pop() if len(orders) == 1 else None


def _column(samples: Sequence[Sequence[str]], index: int) -> list[str]:
    return [row[index] for row in samples if index < len(row) and row[index].strip()]
