"""What Arrow types mean to Spark: the name that counts, without the layout that does not.

Owns the logical type of a column and the removal of encodings. Knows nothing of hashes.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from batchinfer.errors import InputError

_INTEGERS = {
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "int",
    pa.uint32(): "bigint",
}


def spark_type(type_: pa.DataType) -> str:
    """Spark SQL name of an Arrow type: what is hashed besides the value.

    Raises:
        InputError: for a type that Spark does not have.
    """
    types = pa.types
    if type_ in _INTEGERS:
        return _INTEGERS[type_]
    if types.is_dictionary(type_):
        return spark_type(type_.value_type)
    if types.is_struct(type_):
        fields = [f"{field.name}:{spark_type(field.type)}" for field in type_.fields]
        return f"struct<{','.join(fields)}>"
    if types.is_map(type_):
        return f"map<{spark_type(type_.key_type)},{spark_type(type_.item_type)}>"
    if _is_list(type_):
        return f"array<{spark_type(type_.value_type)}>"
    if types.is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale})"
    for known, name in _NAMES:
        if known(type_):
            return name
    raise InputError(f"got the Arrow type {type_}; allowed: types that Spark SQL has")


_NAMES = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_float16, "float"),
    (pa.types.is_float32, "float"),
    (pa.types.is_float64, "double"),
    (pa.types.is_string, "string"),
    (pa.types.is_large_string, "string"),
    (pa.types.is_string_view, "string"),
    (pa.types.is_binary, "binary"),
    (pa.types.is_large_binary, "binary"),
    (pa.types.is_binary_view, "binary"),
    (pa.types.is_fixed_size_binary, "binary"),
    (pa.types.is_date, "date"),
    # Readers disagree on whether an INT96 timestamp has a zone; the stored instant is the same.
    (pa.types.is_timestamp, "timestamp"),
    (pa.types.is_null, "void"),
)


def _is_list(type_: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_list(type_)
        or types.is_large_list(type_)
        or types.is_fixed_size_list(type_)
        or _is_list_view(type_)
    )


def _is_list_view(type_: pa.DataType) -> bool:
    return pa.types.is_list_view(type_) or pa.types.is_large_list_view(type_)


def plain(array: pa.Array) -> pa.Array:
    """The array without what is only encoding: extension types, run ends, views."""
    if isinstance(array, pa.ExtensionArray):
        return plain(array.storage)
    if pa.types.is_run_end_encoded(array.type):
        return plain(pc.call_function("run_end_decode", [array]))
    if pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    if pa.types.is_binary_view(array.type):
        return array.cast(pa.large_binary())
    if _is_list_view(array.type):
        return array.cast(pa.large_list(array.type.value_type))
    return array
