"""Holds files of ours against ExecuTorch's own reader and runtime, and against its own files for the same models.

    python interop.py JOBS.json

JOBS.json is a list of objects with `name`, `ours` (a path), `theirs` (a path or null), `run` (null, or a list of input files
with raw float32 elements and an output file) and `samples` (null, or an archive with inputs and our outputs for an exported program). For each job one line of JSON is printed: `problems` are defects of ours,
`differences` is how ours differs from theirs, `runtime` is what ExecuTorch's runtime made of it.

Exits with 77 where the package executorch is absent. Reading needs no PyTorch: the serializer imports it only for type
annotations, so a stand-in is put in its place where it is absent, and the runtime is left out.
"""

import hashlib
import json
import os
import sys
import types
from collections import Counter


def module(name, **members):
    made = types.ModuleType(name)
    made.__dict__.update(members)
    sys.modules[name] = made


try:
    import executorch
except ImportError:
    sys.exit(77)

try:
    import torch
except ImportError:
    torch = None
    root = list(executorch.__path__)[0]
    module("torch", Tensor=type("Tensor", (), {}))
    module("executorch.exir", __path__=[os.path.join(root, "exir")])
    module("executorch.exir.backend", __path__=[os.path.join(root, "exir", "backend")])
    module("executorch.exir.tensor", ALIGNMENT=16)
    module("executorch.exir.tensor_layout", TensorLayout=object)

from executorch.exir._serialize._program import deserialize_pte_binary  # noqa: E402


class File:
    """A file in the words that are compared."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()
        read = deserialize_pte_binary(self.bytes)
        self.named = sorted((getattr(read, "named_data", None) and read.named_data.pte_data or {}).keys())
        self.program = getattr(read, "program", read)
        (self.plan,) = self.program.execution_plan
        (self.chain,) = self.plan.chains
        self.calls = [instruction.instr_args for instruction in self.chain.instructions]

    def operator(self, call):
        operator = self.plan.operators[call.op_index]
        return f"{operator.name}.{operator.overload}"

    def arguments(self, call):
        """The arguments without the repeated results."""
        args = list(call.args)
        return args[:-1]

    def value(self, index):
        value = self.plan.values[index].val
        kind = type(value).__name__
        if kind == "Tensor":
            return self.tensor(value)
        if kind == "IntList":
            return [self.plan.values[item].val.int_val for item in value.items]
        if kind in ("TensorList", "OptionalTensorList"):
            return [self.value(item) if item >= 0 else None for item in value.items]
        for field in ("int_val", "double_val", "bool_val", "string_val"):
            if hasattr(value, field):
                return f"{getattr(value, field)!r}"
        return getattr(value, "items", kind)

    def tensor(self, tensor):
        text = f"{tensor.scalar_type.name}{list(tensor.sizes)}"
        # Axes of extent 1 may stand anywhere.
        order = [axis for axis in tensor.dim_order if tensor.sizes[axis] != 1]
        if order != sorted(order):
            text += f" in order {list(tensor.dim_order)}"
        if tensor.data_buffer_idx > 0 and tensor.allocation_info is None:
            storage = bytes(self.program.constant_buffer[tensor.data_buffer_idx].storage)
            # What stands behind the elements is padding.
            size = {"CHAR": 1, "BYTE": 1, "BOOL": 1, "SHORT": 2, "INT": 4, "FLOAT": 4}.get(tensor.scalar_type.name, 8)
            for extent in tensor.sizes:
                size *= extent
            text += f" constant {hashlib.sha256(storage[:size]).hexdigest()[:12]}"
        return text

    def reached(self):
        reached = set(self.plan.inputs) | set(self.plan.outputs)
        for call in self.calls:
            reached.update(call.args)
        for index in list(reached):
            reached.update(item for item in getattr(self.plan.values[index].val, "items", None) or [] if type(item) is int)
        return reached

    def constants(self):
        return len({getattr(value.val, "data_buffer_idx", 0) for value in self.plan.values} - {0})

    def dead_constants(self):
        reached = self.reached()
        every, used = set(), set()
        for index, value in enumerate(self.plan.values):
            buffer = getattr(value.val, "data_buffer_idx", 0)
            if buffer and value.val.allocation_info is None:
                every.add(buffer)
                if index in reached:
                    used.add(buffer)
        return sum(len(self.program.constant_buffer[buffer].storage) for buffer in every - used)


def soundness(ours):
    problems = []
    if ours.plan.name != "forward":
        problems.append(f"the method is called {ours.plan.name}")
    if not ours.calls:
        problems.append("there are no calls")
    for position, call in enumerate(ours.calls):
        if len(call.args) < 2 or call.args[-1] != call.args[-2]:
            problems.append(f"call {position} does not name its result twice")
    if ours.dead_constants():
        problems.append(f"{ours.dead_constants()} bytes of constants are dead")
    if len(ours.reached()) != len(ours.plan.values):
        problems.append("there are values that nothing reaches")
    return problems


def compare(ours, theirs):
    problems, differences = [], []
    for side in ("inputs", "outputs"):
        found = [ours.value(index) for index in getattr(ours.plan, side)]
        expected = [theirs.value(index) for index in getattr(theirs.plan, side)]
        if found != expected:
            problems.append(f"{side} are {found}, theirs are {expected}")
    if len(ours.bytes) >= len(theirs.bytes):
        problems.append(f"the file is no smaller: {len(ours.bytes)} bytes, theirs {len(theirs.bytes)}")
    differences.append(f"file: {len(ours.bytes)} bytes, theirs {len(theirs.bytes)}")
    pairs = [
        ("planned memory", ours.plan.non_const_buffer_sizes, theirs.plan.non_const_buffer_sizes),
        ("values", len(ours.plan.values), len(theirs.plan.values)),
        ("constants", ours.constants(), theirs.constants()),
        ("dead constant bytes", ours.dead_constants(), theirs.dead_constants()),
        ("named data", ours.named, theirs.named),
        ("trees of inputs and outputs", tree(ours), tree(theirs)),
    ]
    differences += [f"{what}: {a}, theirs {b}" for what, a, b in pairs if a != b]
    counts = {
        file: {file.operator(call): len(file.arguments(call)) for call in file.calls} for file in (ours, theirs)
    }
    for operator in counts[ours].keys() & counts[theirs].keys():
        if counts[ours][operator] != counts[theirs][operator]:
            problems.append(f"{operator} has {counts[ours][operator]} arguments, theirs {counts[theirs][operator]}")
    names = [[file.operator(call) for call in file.calls] for file in (ours, theirs)]
    if names[0] != names[1]:
        more, fewer = Counter(names[0]), Counter(names[1])
        for operator in sorted((more | fewer).keys()):
            if more[operator] != fewer[operator]:
                differences.append(f"{operator}: {more[operator]} calls, theirs {fewer[operator]}")
        if more == fewer:
            differences.append("the same operators are called in another order")
        return problems, differences
    for position, (a, b) in enumerate(zip(ours.calls, theirs.calls)):
        pairs = zip(ours.arguments(a), theirs.arguments(b))
        for argument, (found, expected) in enumerate(pairs):
            found, expected = ours.value(found), theirs.value(expected)
            if found != expected:
                differences.append(f"call {position} {names[0][position]} argument {argument}: {found}, theirs {expected}")
    return problems, differences


def tree(file):
    container = file.plan.container_meta_type
    return "none" if container is None or not container.encoded_out_str else "there"


def native(job, ours):
    """What ExecuTorch's C++ runtime makes of a file: (problems, what it did)."""
    if torch is None:
        return [], "left out: PyTorch is absent"
    try:
        from executorch.runtime import Runtime, Verification
    except ImportError as error:
        return [], f"left out: {error}"
    problems = []
    program = Runtime.get().load_program(ours.bytes, verification=Verification.InternalConsistency)
    if program.method_names != {"forward"}:
        problems.append(f"its methods are {program.method_names}")
    meta = program.metadata("forward")
    for side, count, of in (
        ("inputs", meta.num_inputs(), meta.input_tensor_meta),
        ("outputs", meta.num_outputs(), meta.output_tensor_meta),
    ):
        sizes = [list(of(index).sizes()) for index in range(count)]
        expected = [list(ours.plan.values[index].val.sizes) for index in getattr(ours.plan, side)]
        if sizes != expected:
            problems.append(f"{side} have the sizes {sizes} and not {expected}")
    known = set(Runtime.get().operator_registry.operator_names)
    missing = sorted({ours.operator(call) for call in ours.calls} - known)
    if any(not name.startswith(("cortex_m::", "cortado::")) for name in missing):
        problems.append(f"the runtime has no {missing}")
    try:
        method = program.load_method("forward")
    except RuntimeError as error:
        # 0x14 is OperatorMissing.
        if not missing or not str(error).rstrip().endswith(("0x14", "0x:14")):
            problems.append(f"it does not load: {error}")
        return problems, f"verified; not executed: the package's build has no kernels for {len(missing)} of its operators"
    if job["run"] is None:
        return problems, "verified and loaded"
    inputs = []
    for index, path in enumerate(job["run"][:-1]):
        data = torch.frombuffer(bytearray(open(path, "rb").read()), dtype=torch.float32)
        inputs.append(data.reshape(tuple(meta.input_tensor_meta(index).sizes())))
    results = method.execute(inputs)
    with open(job["run"][-1], "wb") as file:
        for result in results:
            file.write(result.contiguous().numpy().tobytes())
    return problems, "verified, loaded and executed"


def reload(job):
    """What PyTorch makes of an exported program: (problems, what it did)."""
    if torch is None:
        return [], "left out: PyTorch is absent"
    import numpy
    from torch.ao.quantization.fx import _decomposed  # noqa: F401, registers the operators

    program = torch.export.load(job["ours"]).module()
    samples = numpy.load(job["samples"])
    inputs = [samples[f"input{index}"] for index in range(sum(name.startswith("input") for name in samples.files))]
    problems = []
    for sample in range(len(inputs[0])):
        with torch.no_grad():
            results = program(*(torch.from_numpy(array[sample]) for array in inputs))
        for index, result in enumerate(results if isinstance(results, (list, tuple)) else [results]):
            expected = samples[f"output{index}"][sample]
            # Sums in float32 may be rounded otherwise in their last bits, and so to another of 255 steps.
            farthest = abs(result.numpy() - expected).max(initial=0)
            if result.shape != expected.shape or farthest > 0.02 * abs(expected).max(initial=0):
                problems.append(f"output {index} of sample {sample} is up to {farthest} from ours")
    return problems, "loaded and executed by PyTorch"


def main():
    # The runtime writes what it misses to standard error, line by line; the report has it in one.
    report = sys.stdout
    quiet = open(os.devnull, "w")
    os.dup2(quiet.fileno(), 2)
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    for job in jobs:
        entry = {"name": job["name"], "problems": [], "differences": [], "runtime": ""}
        try:
            if job["samples"] is not None:
                entry["problems"], entry["runtime"] = reload(job)
                report.write(json.dumps(entry) + "\n")
                report.flush()
                continue
            ours = File(job["ours"])
            entry["problems"] += soundness(ours)
            if job["theirs"] is not None:
                problems, entry["differences"] = compare(ours, File(job["theirs"]))
                entry["problems"] += problems
            problems, entry["runtime"] = native(job, ours)
            entry["problems"] += problems
        except Exception as error:
            entry["problems"].append(f"{type(error).__name__}: {error}")
        report.write(json.dumps(entry) + "\n")
        report.flush()


main()
