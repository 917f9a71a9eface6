"""Reads a .pte with ExecuTorch's own deserializer and prints what it holds.

Exits with 77 where the package executorch is absent. PyTorch itself is not needed: the serializer imports it only for
type annotations, so a stand-in is put in its place where it is absent.
"""

import os
import sys
import types


def module(name, **members):
    made = types.ModuleType(name)
    made.__dict__.update(members)
    sys.modules[name] = made


try:
    import executorch
except ImportError:
    sys.exit(77)

try:
    import torch  # noqa: F401
except ImportError:
    root = list(executorch.__path__)[0]
    module("torch", Tensor=type("Tensor", (), {}))
    module("executorch.exir", __path__=[os.path.join(root, "exir")])
    module("executorch.exir.backend", __path__=[os.path.join(root, "exir", "backend")])
    module("executorch.exir.tensor", ALIGNMENT=16)
    module("executorch.exir.tensor_layout", TensorLayout=object)

from executorch.exir._serialize._program import deserialize_pte_binary  # noqa: E402

with open(sys.argv[1], "rb") as file:
    read = deserialize_pte_binary(file.read())
program = getattr(read, "program", read)
plan = program.execution_plan[0]
calls = [i.instr_args for i in plan.chains[0].instructions]
for call in calls:
    operator = plan.operators[call.op_index]
    print(f"        {operator.name}.{operator.overload} with {len(call.args)} arguments")
assert plan.name == "forward", plan.name
assert calls and all(len(call.args) > 2 for call in calls)
assert all(call.args[-1] == call.args[-2] for call in calls), "the result is named twice"
