"""What scripts of either Python need."""

from __future__ import annotations

import ast
from collections.abc import Callable

from saccade.compat.rewriting.helpers import Changes, helper_call, key_of


def _is_value(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, (int, float, str))
        and not isinstance(node.value, bool)
    )


class CommonRewriter(ast.NodeTransformer):
    """What scripts of either Python need."""

    _division = "TrueDiv"

    def __init__(self, constants: Callable[[str], str], changes: Changes) -> None:
        self._constants, self._changes = constants, changes
        self._classes: list[str] = []

    def _note(self, kind: str, node: ast.AST) -> None:
        self._changes.setdefault(kind, []).append(getattr(node, "lineno", 0))

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str):
            value = self._constants(node.value)
            if value != node.value:
                self._note("paths of the device", node)
                return ast.copy_location(ast.Constant(value), node)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        sign = self._sign(node)
        if isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant) and sign not in ("Div", "Mod"):
            return node
        return helper_call("operate", node, ast.Constant(sign), node.left, node.right)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        target, sign = node.target, ast.Constant(self._sign(node))
        if isinstance(target, ast.Name):
            value = helper_call("operate_in_place", node, sign, ast.Name(target.id, ast.Load()), node.value)
            return ast.copy_location(ast.Assign([target], value), node)
        # What stands there is looked at before the other side is worked out.
        if isinstance(target, ast.Attribute):
            place = helper_call("attribute_place", node, target.value, ast.Constant(self._mangled(target.attr)))
            made = helper_call("operate_on_attribute", node, sign, place, node.value)
        else:
            place = helper_call("item_place", node, target.value, key_of(target.slice))
            made = helper_call("operate_on_item", node, sign, place, node.value)
        return ast.copy_location(ast.Expr(made), node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._classes.append(node.name.lstrip("_"))
        self.generic_visit(node)
        self._classes.pop()
        return node

    def _mangled(self, name: str) -> str:
        """An attribute's name as the compiler has it: private ones of a class begin with the name of that."""
        is_private = name.startswith("__") and not name.endswith("__")
        return f"_{self._classes[-1]}{name}" if is_private and self._classes and self._classes[-1] else name

    def _sign(self, node: ast.BinOp | ast.AugAssign) -> str:
        """Name of an operator; Div is the division that floors integers."""
        if not isinstance(node.op, ast.Div):
            return type(node.op).__name__
        if self._division == "Div":
            self._note("division of integers", node)
        return self._division

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        swap: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Is: ast.Eq, ast.IsNot: ast.NotEq}
        operands = [node.left, *node.comparators]
        for i, operator in enumerate(node.ops):
            # Identity with a number or text happened to work for small ones only.
            if type(operator) in swap and any(_is_value(side) for side in operands[i : i + 2]):
                node.ops[i] = swap[type(operator)]()
                self._note("`is` between values", node)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        # Python 3.7 was there with OpenCV 3 as well.
        contours = finds_contours(node.value)
        self.generic_visit(node)
        target = node.targets[0]
        if contours and isinstance(target, (ast.Tuple, ast.List)) and len(target.elts) == 3:
            self._note("three results of findContours", node)
            node.value = helper_call("contours", node, node.value)
        if len(node.targets) == 1 and isinstance(target, ast.Subscript):
            # In the order in which Python works out the three.
            put = helper_call("set_item", node, node.value, target.value, key_of(target.slice))
            return ast.copy_location(ast.Expr(put), node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Attribute):
            return node
        if node.func.attr == "tostring" and not (node.args or node.keywords):
            return helper_call("to_bytes", node, node.func.value)
        root = node.func.value
        if isinstance(root, ast.Name) and root.id in ("np", "numpy") and type(self) is CommonRewriter:
            helper = helper_call("call", node, node.func, *node.args)
            helper.keywords = node.keywords
            return helper
        return node


def finds_contours(node: ast.expr) -> bool:
    """True for a call of `findContours`, which has given two results or three."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "findContours"
