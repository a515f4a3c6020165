"""Reads what is needed of an .onnx file, without any package: nodes, initializers, inputs, outputs."""
import array
import struct

TYPE_FLOAT, TYPE_INT64 = 1, 7


def varint(b, i):
    value = shift = 0
    while True:
        value |= (b[i] & 127) << shift
        shift += 7
        i += 1
        if b[i - 1] < 128:
            return value, i


def signed(v):
    return v - (1 << 64) if v >> 63 else v


def fields(b):
    """(number, value) of a message: ints of varints and fixed32, memoryviews of the others."""
    i = 0
    while i < len(b):
        tag, i = varint(b, i)
        wire = tag & 7
        if wire == 0:
            v, i = varint(b, i)
        elif wire == 5:
            v, i = b[i:i + 4], i + 4
        elif wire == 1:
            v, i = b[i:i + 8], i + 8
        else:
            n, i = varint(b, i)
            v, i = b[i:i + n], i + n
        yield tag >> 3, v


def packed(b):
    out, i = [], 0
    while i < len(b):
        v, i = varint(b, i)
        out.append(signed(v))
    return out


def text(b):
    return bytes(b).decode()


class Node:
    def __init__(self, b):
        self.inputs, self.outputs, self.op, self.attributes = [], [], "", {}
        for number, v in fields(b):
            if number == 1:
                self.inputs.append(text(v))
            elif number == 2:
                self.outputs.append(text(v))
            elif number == 4:
                self.op = text(v)
            elif number == 5:
                self.add_attribute(v)

    def add_attribute(self, b):
        name, value = "", None
        for number, v in fields(b):
            if number == 1:
                name = text(v)
            elif number == 2:
                value = struct.unpack("<f", v)[0]
            elif number == 3:
                value = signed(v)
            elif number == 8:
                value = (value or []) + (packed(v) if isinstance(v, memoryview) else [signed(v)])
        self.attributes[name] = value


class Tensor:
    """dims, and values: an array.array of floats or of 64-bit integers."""

    def __init__(self, b):
        self.dims, self.name, kind, raw = [], "", TYPE_FLOAT, b""
        for number, v in fields(b):
            if number == 1:
                self.dims += packed(v) if isinstance(v, memoryview) else [signed(v)]
            elif number == 2:
                kind = v
            elif number == 8:
                self.name = text(v)
            elif number == 9:
                raw = v
        self.values = array.array("f" if kind == TYPE_FLOAT else "q")
        self.values.frombytes(raw)


def only(b, number):
    return next(v for n, v in fields(b) if n == number)


def count_of(value_info):
    """How many values its type says it has."""
    count = 1
    for n, dim in fields(only(only(only(value_info, 2), 1), 2)):
        count *= only(dim, 1)
    return count


class Model:
    def __init__(self, path):
        with open(path, "rb") as f:
            b = memoryview(f.read())
        graph = next(v for number, v in fields(b) if number == 7)
        self.nodes, self.tensors, self.inputs, self.outputs, self.output_sizes = [], {}, [], [], {}
        for number, v in fields(graph):
            if number == 1:
                self.nodes.append(Node(v))
            elif number == 5:
                t = Tensor(v)
                self.tensors[t.name] = t
            elif number in (11, 12):
                name = next(text(x) for n, x in fields(v) if n == 1)
                (self.inputs if number == 11 else self.outputs).append(name)
                if number == 12:
                    self.output_sizes[name] = count_of(v)
