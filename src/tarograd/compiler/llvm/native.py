"""Native: a plan as machine code in this process, and its arrays.

In come two apples with their tax and derivatives; the kernel that computes what the apples cost
and the payment, and the numbers that come out:

    >>> import tarograd as tg
    >>> from tarograd.compiler.lower import lower
    >>> from tarograd.compiler.trace import trace
    >>> def shop(apple, count, tax):
    ...     payment = apple * count * tax
    ...     return [payment, *tg.grad(payment, [apple, count, tax])]
    >>> program = lower(trace(shop, {"apple": 100.0, "count": 2.0, "tax": 1.1}))
    >>> module, _ = emit(Plan(program, widest=16), host())
    >>> print(module.globals["kernel0_loop"])  # doctest: +ELLIPSIS
    define internal void @kernel0_loop(ptr noalias %a0, ptr noalias %a1, ...) {
    entry0:
      %v1 = load double, ptr %a0, align 8
      %v2 = load double, ptr %a1, align 8
      %v3 = fmul double %v1, %v2
      %v4 = load double, ptr %a2, align 8
      %v5 = fmul double %v3, %v4
      store double %v3, ptr %a3, align 8
      store double %v5, ptr %a4, align 8
      ret void
    }
    >>> [round(float(x), 9) for x in Native(program)(100.0, 2.0, 1.1)]
    [220.0, 2.2, 110.0, 200.0]
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import llvmlite
import numpy as np
from llvmlite import binding

from tarograd.compiler.layout import ALIGNMENT, Buffer
from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.cache import cached, user_folder
from tarograd.compiler.llvm.kernels import emit_kernels
from tarograd.compiler.llvm.steps import (
    FED,
    LOOP,
    SHARED_LOOP,
    Steps,
    block_names,
    fed,
    noted,
    span,
)
from tarograd.compiler.llvm.team import (
    memory_address,
    team_memory,
    threads_possible,
    together,
)
from tarograd.compiler.plan import Plan
from tarograd.compiler.program import Program, Value
from tarograd.compiler.skipping import MANY, skip_zeros
from tarograd.graph import Array
from tarograd.version import __version__

OPTIMIZED = 2  # LLVM's name of how much it thinks about the machine code


@dataclass(frozen=True)
class Target:
    """What the kernels are written for.

    Args:
        bits: of a vector register.
        registers: how many there are.
        features: LLVM's names of what the processor can do. Of which make it is does not matter:
            what LLVM knows of each took time to consider, and made nothing faster.
    """

    bits: int
    registers: int
    features: str

    @property
    def listed(self) -> int:
        """Places that are looked at together, to list those that are not zero."""
        if self.bits == 512 and "+avx512vbmi2" not in self.features:  # which compresses 16 bits
            return self.bits // 32
        return MANY

    def tile_vectors(self, rows: int = 0) -> int:
        """Vectors in a row of a tile; of one with few rows, all but the registers for A and B."""
        if self.registers >= 32:
            return 4
        return (self.registers - rows - 1) // rows if rows else 3

    def tile_rows(self, vectors: int) -> int:
        """Rows of a tile: as many as leave registers for a row of B and an element of A."""
        return min(12, max(1, (self.registers - vectors - 1) // vectors))

    def __post_init__(self) -> None:
        """The names have to be usable as they are."""
        assert self.bits in (128, 256, 512)


def host() -> Target:
    """The processor that this runs on."""
    features = binding.get_host_cpu_features()
    on, text = {name for name, there in features.items() if there}, features.flatten()
    if {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= on:
        return Target(512, 32, text + ",-prefer-256-bit")
    if {"avx2", "fma"} <= on:
        return Target(256, 16, text)
    return Target(128, 32 if "neon" in on else 16, text)


# Narrower ones, to try all shapes of tiles on one machine.
def narrowed(bits: int) -> Target:
    """The host as if its registers had only `bits` bits: AVX2 for 256, SSE for 128."""
    here = host()
    if bits >= here.bits:
        return here
    if bits == 256:
        return Target(256, 16, here.features + ",-avx512f")
    return Target(128, 16, "")


def emit(plan: Plan, target: Target, shared: bool = False) -> tuple[Any, int]:
    """The module: a function for each kernel, and the loops over steps that call them.

    Returns:
        the module, and the number of phases in a step that is shared by several threads.
    """
    module = ir.Module(binding.get_process_triple())
    steps = Steps(module, plan, emit_kernels(module, plan, target))
    steps.emit()
    return module, steps.emit_shared() if shared else 0


def assemble(module: Any, target: Target) -> Any:
    """Translate, or find what was translated before; the engine owns the code.

    None of LLVM's passes over the text are run: they took two thirds of the time of compiling,
    and what is emitted here became no faster by them.
    """
    text = str(module)
    versions = __version__, llvmlite.__version__, str(binding.llvm_version_info), str(OPTIMIZED)
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    triple = binding.Target.from_default_triple()
    machine = triple.create_target_machine(features=target.features, opt=OPTIMIZED)
    code = cached(
        user_folder(),
        (text, target.features, *versions),
        lambda: bytes(machine.emit_object(binding.parse_assembly(text))),
    )
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


class Native:
    """A program as machine code, with its arrays.

    Attributes:
        fed: the names of the inputs that `run` takes a row of for each step.

    Args:
        program: lowered.
        external: arrays that are read where they are, by the names of their inputs.
        target: the processor; by default this one.
        sparse: the names of inputs that are mostly zeros.
        shared: whether several threads are to work on a step.

    Raises:
        Untraceable: if there is a primitive that no kernel computes.
    """

    def __init__(
        self,
        program: Program,
        external: Mapping[str, Array] | None = None,
        target: Target | None = None,
        sparse: Collection[str] = (),
        shared: bool = False,
    ) -> None:
        self.target = target or host()
        program = skip_zeros(program, sparse, self.target.listed)
        self.external = {k: np.ascontiguousarray(a) for k, a in (external or {}).items()}
        self.plan = Plan(program, self.target.bits // 32, tuple(self.external))
        self.program = program
        self.fed = fed(self.plan)
        module, self.phases = emit(self.plan, self.target, shared and threads_possible())
        self.engine = assemble(module, self.target)
        kinds = [ctypes.c_int64, *[ctypes.c_void_p] * (len(block_names(self.plan)) + len(FED) + 1)]
        address = self.engine.get_function_address(LOOP)
        self._function = ctypes.CFUNCTYPE(None, *kinds)(address)
        if self.phases:
            address = self.engine.get_function_address(SHARED_LOOP)
            self._shared = ctypes.CFUNCTYPE(None, *kinds, ctypes.c_void_p)(address)
        self.state = aligned(self.plan.sizes["state"])
        self.scratch = aligned(self.plan.sizes["scratch"])
        self._located: list[tuple[Array | None, int]] = []
        self._noted = noted(self.plan)
        self._noted_bytes = 0 if self._noted is None else span(self.plan, self._noted)
        for v in program.order():
            if v.array is not None:
                self.view(v)[...] = v.array

    def view(self, v: Value) -> Array:
        """The array of a Value, where it lies."""
        buffer: Buffer = self.plan.buffers[id(v)]
        block = self.state if buffer.block == "state" else self.scratch
        strides = tuple(s * v.dtype.itemsize for s in buffer.strides)
        return np.ndarray(v.shape, v.dtype, block.data, buffer.offset, strides)

    def run(self, fed: Mapping[str, Array], steps: int = 1, threads: int = 1) -> Array:
        """Make steps; the GIL is released meanwhile.

        Args:
            fed: the batch indices, step numbers and learning rates, a row for each step.
            steps: how many.
            threads: so many work on it at once, if it is `shared`; the bits are the same.

        Returns:
            the first output of each step, in a row, if it is called "loss" or "best".
        """
        found = np.empty(steps * self._noted_bytes, np.uint8)
        rows = [self._rows(name, fed, steps) if name in self.fed else None for name in FED]
        last = None if self._noted is None else found
        pointers = [*self._blocks(), *map(_address, (*rows, last))]
        if steps and threads > 1 and self.phases:
            team = team_memory(self.phases)
            together(lambda: self._shared(steps, *pointers, memory_address(team)), threads)
        elif steps:
            self._function(steps, *pointers)
        if self._noted is None:
            return found
        v, width = self._noted, self._noted_bytes
        return np.ndarray((steps, *v.shape), v.dtype, found, 0, (width, *self.view(v).strides))

    def _blocks(self) -> list[int]:
        """Where all arrays lie; asked only of new ones, since NumPy takes as long as a kernel."""
        arrays = self.state, self.scratch, *self.external.values()
        known = zip(self._located or [(None, 0)] * len(arrays), arrays, strict=True)
        self._located = [old if old[0] is a else (a, _address(a)) for old, a in known]
        return [address for _, address in self._located]

    def _rows(self, name: str, fed: Mapping[str, Array], steps: int) -> Array:
        """A row of an input for each step, one behind the other."""
        v, rows = self.fed[name], fed[name] if name in fed else np.zeros(0)
        if rows.dtype != v.dtype or rows.size != steps * prod(v.shape):
            raise ValueError(f"{name}: {steps} rows of {v.shape} {v.dtype} are needed")
        return np.ascontiguousarray(rows)

    def __call__(self, *arguments: Any) -> list[Array]:
        """The function of its inputs, all of them given; results in the order of the outputs."""
        for v, given in zip(self.program.inputs.values(), arguments, strict=True):
            if id(v) not in self.plan.external:
                self.view(v)[...] = given
        fed = {k: a for k, a in zip(self.program.inputs, arguments, strict=True) if k in self.fed}
        self.run({k: np.asarray(a) for k, a in fed.items()})
        return [self.result(k) for k in self.program.outputs]

    def result(self, name: str) -> Array:
        """A copy of an output."""
        return np.array(self.place(name))

    def place(self, name: str) -> Array:
        """An output, where it lies after a step."""
        new, old = self.program.outputs[name], self.program.inputs.get(name)
        copied = any(v is new and w is old for v, w in self.plan.copies)
        return self.view(old if copied and old is not None else new)


def _address(array: Array | None) -> int:
    """Where the elements lie."""
    address: int = 0 if array is None else array.__array_interface__["data"][0]
    return address


def aligned(nbytes: int) -> Array:
    """Zeros whose address is a multiple of a cache line."""
    raw = np.zeros(nbytes + 2 * ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes + ALIGNMENT]
