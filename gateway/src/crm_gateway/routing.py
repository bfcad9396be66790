"""Which service owns a path: the merged OpenAPI document, compiled once into a tree of segments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crm_gateway.errors import RouteNotFound
from crm_shared.problems import MethodNotAllowed

METHODS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one service."""

    service: str
    path: str
    public: bool
    """Whether it asks for no sign-in."""
    max_body_bytes: int | None
    """How long a body it takes; None is the usual."""
    deadline: float | None
    """How many seconds it may take; None is the usual."""


@dataclass(slots=True)
class Node:
    """A segment of the paths: what may follow it, and the operations of the path that ends here."""

    literals: dict[str, "Node"] = field(default_factory=dict)
    parameter: "Node | None" = None
    operations: dict[str, Operation] = field(default_factory=dict)


class Table:
    """Finds the operation for a request; a literal segment goes before a parameter."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._root = Node()
        for path, item in document["paths"].items():
            for method in METHODS:
                if method in item:
                    self._add(method.upper(), path, item[method])

    def _add(self, method: str, path: str, described: Mapping[str, Any]) -> None:
        node = self._root
        for segment in path.split("/")[1:]:
            if segment.startswith("{"):
                node.parameter = node.parameter or Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, Node())
        node.operations[method] = Operation(
            described["x-service"],
            path,
            public=described["security"] == [],
            max_body_bytes=described.get("x-max-body-bytes"),
            deadline=described.get("x-deadline"),
        )

    def find(self, method: str, path: str) -> Operation:
        """The operation, GET's for HEAD too; raises RouteNotFound, or MethodNotAllowed with `Allow`."""
        operations = self.operations(path)
        operation = operations.get("GET" if method == "HEAD" else method)
        if operation is None:
            raise MethodNotAllowed(headers={"allow": allow(operations)})
        return operation

    def operations(self, path: str) -> Mapping[str, Operation]:
        """What the path offers, by method; raises RouteNotFound."""
        node = _descend(self._root, path.split("/"), 1)
        if node is None:
            raise RouteNotFound(f"There is nothing at {path[:200]}.")
        return node.operations


def allow(operations: Mapping[str, Operation]) -> str:
    """The value of `Allow`."""
    methods = {*operations, "OPTIONS"}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def _descend(node: Node, segments: list[str], index: int) -> Node | None:
    """Walks the segments, and back again where a literal has led nowhere."""
    if index == len(segments):
        return node if node.operations else None
    segment = segments[index]
    literal = node.literals.get(segment)
    if literal is not None:
        found = _descend(literal, segments, index + 1)
        if found is not None:
            return found
    if node.parameter is not None and segment:
        return _descend(node.parameter, segments, index + 1)
    return None
