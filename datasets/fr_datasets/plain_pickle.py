"""Reads pickles of lists, tuples, byte strings, booleans and whole numbers, without running anything that they name.

Python's own unpickler calls whatever function a file tells it to. This one knows only the opcodes that build such plain
values; at any other, GLOBAL and REDUCE above all, it stops.
"""

import io
import pickletools
from collections.abc import Callable
from typing import Any

# Builds from the marked items on the stack.
_FROM_MARK: dict[str, Callable[[list[Any]], Any]] = {"LIST": list, "TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_CONSTANTS = {"NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "INT"})
_BYTES = frozenset({"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"})
# What Python 2 wrote for its byte strings; pickletools shows them decoded as Latin-1.
_OLD_STRINGS = frozenset({"BINSTRING", "SHORT_BINSTRING"})
_PUTS = frozenset({"BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"BINGET", "LONG_BINGET"})
_NOTHING = frozenset({"PROTO", "FRAME"})


class PickleRefused(ValueError):
    """The file is not a pickle, is cut off, or holds more than plain values; the text says which, in one line."""


def load_plain(data: bytes) -> Any:
    """The value of a pickle of protocol 2 to 5; its size is bounded by that of `data`.

    Raises `PickleRefused`: as said there.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(data)):
            if opcode.name == "STOP":
                return machine.result()
            machine.step(opcode.name, argument)
    except PickleRefused:
        raise
    except (ValueError, OverflowError) as error:
        raise PickleRefused("the file is cut off, or is not a pickle") from error
    raise PickleRefused("the file is cut off")


class _Mark:
    """Stands on the stack where a MARK was."""


class _Machine:
    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def result(self) -> Any:
        value = self._pop()
        if self._stack:
            raise PickleRefused("the pickle leaves more than one value")
        return value

    def step(self, name: str, argument: Any) -> None:
        match name:
            case _ if name in _NOTHING:
                pass
            case "MARK":
                self._stack.append(_Mark())
            case "EMPTY_LIST":
                self._stack.append([])
            case "EMPTY_TUPLE":
                self._stack.append(())
            case "APPEND":
                item = self._pop()
                self._top_list().append(item)
            case "APPENDS":
                items = self._pop_to_mark()
                self._top_list().extend(items)
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._top()
            case _ if name in _CONSTANTS:
                self._stack.append(_CONSTANTS[name])
            case _ if name in _NUMBERS or name in _BYTES:
                self._stack.append(argument)
            case _ if name in _OLD_STRINGS:
                self._stack.append(argument.encode("latin-1"))
            case _ if name in _PUTS:
                self._memo[argument] = self._top()
            case _ if name in _GETS:
                self._stack.append(self._recall(argument))
            case _ if name in _FROM_MARK:
                self._stack.append(_FROM_MARK[name](self._pop_to_mark()))
            case _ if name in _TUPLES:
                items = [self._pop() for _ in range(_TUPLES[name])]
                self._stack.append(tuple(reversed(items)))
            case _:
                raise PickleRefused(f"the pickle holds {name}, which is not needed for byte strings and labels")

    def _recall(self, key: int) -> Any:
        if key not in self._memo:
            raise PickleRefused("the pickle recalls a value that it never kept")
        return self._memo[key]

    def _top(self) -> Any:
        if not self._stack or isinstance(self._stack[-1], _Mark):
            raise PickleRefused("the pickle takes a value where none is")
        return self._stack[-1]

    def _top_list(self) -> list[Any]:
        top = self._top()
        if not isinstance(top, list):
            raise PickleRefused("the pickle appends to something that is not a list")
        return top

    def _pop(self) -> Any:
        value = self._top()
        self._stack.pop()
        return value

    def _pop_to_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if isinstance(self._stack[place], _Mark):
                items = self._stack[place + 1 :]
                del self._stack[place:]
                return items
        raise PickleRefused("the pickle closes what it never opened")
