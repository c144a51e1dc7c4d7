"""Steps: the loop that makes one step after the other, by one thread or by several."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.ahead import fetch, gathered
from tarograd.compiler.llvm.kernels import Call
from tarograd.compiler.llvm.share import Phase, emit_phases, merged, nanoseconds, phase
from tarograd.compiler.llvm.words import I1, I8, I64, index, loop
from tarograd.compiler.plan import Plan
from tarograd.compiler.program import Value

LOOP, SHARED_LOOP = "tarograd_run", "tarograd_share"
FED = ("batch", "step", "lr")  # the inputs that change from step to step
NOTED = ("loss", "best")  # the outputs, if they are the first, that are kept of each step


def block_names(plan: Plan) -> list[str]:
    """The blocks of memory in which the arrays lie."""
    return ["state", "scratch", *plan.external.values()]


class Steps:
    """Emits run(steps, blocks…, batches, step numbers, learning rates, noted).

    A second function has one more argument, the memory of a team: each of its threads calls it.

    Args:
        module: gets the functions.
        plan: where the arrays are.
        calls: the kernels of a step, in order.
    """

    def __init__(self, module: Any, plan: Plan, calls: list[Call]) -> None:
        self.module, self.plan, self.calls = module, plan, calls
        batch = fed(plan).get("batch")
        self.names, self.gathered = block_names(plan), list(gathered(plan, batch))
        self.size, self.longest = 0, None
        if batch and self.gathered:  # while the longest kernel is at work, images are asked for
            self.size = prod(batch.shape)
            self.longest = max(reversed(calls), key=lambda call: nanoseconds(call.kernel))

    def emit(self) -> None:
        """Write the function for one thread."""
        b, i, _ = self._begin(LOOP, 0)
        self._feed(b, i)
        for call in self.calls:
            if call is self.longest:
                self._call_in_pieces(b, i, call)
            else:
                call.emit(b, self.blocks, index(0), index(call.units))
        self._finish(b, i)
        self._repeat(b, i)

    def emit_shared(self) -> int:
        """Write the function for several threads.

        Returns:
            the number of phases in a step; 0 if there is nothing to share, and no function.
        """
        phases = self._phases()
        if all(each.units == 1 for each in phases):
            return 0
        b, i, (team,) = self._begin(SHARED_LOOP, 1)
        self.number = i
        emit_phases(b, phases, team, b.add(i, index(1)))
        self._repeat(b, i)
        return len(phases)

    def _phases(self) -> list[Phase]:
        """Of one step; those of one unit are done by whichever thread comes first."""
        kernels = [phase(c.kernel, c.units, partial(self._call, call=c)) for c in self.calls]
        begin = Phase(lambda b, *_: self._feed(b, self.number))
        end = Phase(lambda b, *_: self._finish(b, self.number))
        return merged([begin, *kernels, end])

    def _begin(self, name: str, more: int) -> tuple[Any, Any, list[Any]]:
        """Start a function and its loop."""
        kinds = [I64, *[ir.POINTER] * (len(self.names) + len(FED) + 1 + more)]
        function = ir.Function(self.module, ir.VOID, kinds, name)
        self.steps, *rest = function.args
        self.blocks = dict(zip(self.names, rest, strict=False))
        self.fed = dict(zip(FED, rest[len(self.names) :], strict=False))
        self.noted = rest[len(self.names) + len(FED)]
        entry, self.head = (function.append_basic_block(n) for n in ("entry", "head"))
        b = ir.IRBuilder(entry)
        b.branch(self.head)
        b.position_at_end(self.head)
        i = b.phi(I64)
        i.add_incoming(index(0), entry)
        return b, i, rest[len(rest) - more :]

    def _repeat(self, b: Any, i: Any) -> None:
        """Go back to the start of the loop, or return."""
        following, done = b.add(i, index(1)), b.append_basic_block("done")
        i.add_incoming(following, b.block)
        b.cbranch(b.icmp_unsigned("<", following, self.steps), self.head, done)
        b.position_at_end(done)
        b.ret()

    def _feed(self, b: Any, i: Any) -> None:
        """Copy what belongs to this step to where the kernels read it."""
        for name, v in fed(self.plan).items():
            nbytes = prod(v.shape) * v.dtype.itemsize
            start = b.gep(self.fed[name], [b.mul(i, index(nbytes))], source_etype=I8)
            _copy(b, self._address(b, v), start, nbytes)

    def _call_in_pieces(self, b: Any, i: Any, call: Call) -> None:
        """Some of the units, then some others; in between images are asked for."""
        pieces = min(call.units, self.size)
        with loop(b, pieces) as n:
            ends = (b.mul(m, index(call.units)) for m in (n, b.add(n, index(1))))
            first, last = (b.udiv(end, index(pieces)) for end in ends)
            self._fetch(b, i, call, first, last)
            call.emit(b, self.blocks, first, last)

    def _fetch(self, b: Any, i: Any, call: Call, first: Any, last: Any) -> None:
        """Ask for the share of the next mini-batch that belongs to these units of a kernel."""
        images = [(self.blocks[block], nbytes) for block, nbytes in self.gathered]
        shares = (b.mul(unit, index(self.size)) for unit in (first, last))
        rows = [b.udiv(share, index(call.units)) for share in shares]
        fetch(b, images, self.size, self.fed["batch"], i, self.steps, rows)

    def _call(self, b: Any, first: Any, last: Any, call: Call) -> None:
        if call is self.longest:
            self._fetch(b, self.number, call, first, last)
        call.emit(b, self.blocks, first, last)

    def _finish(self, b: Any, i: Any) -> None:
        """New values that lie elsewhere than the old ones go there; note loss or best."""
        for new, old in self.plan.copies:
            _copy(b, self._address(b, old), self._address(b, new), span(self.plan, old))
        v = noted(self.plan)
        if v is not None:
            size = span(self.plan, v)
            place = b.gep(self.noted, [b.mul(i, index(size))], source_etype=I8)
            _copy(b, place, self._address(b, v), size)

    def _address(self, b: Any, v: Value) -> Any:
        buffer = self.plan.buffers[id(v)]
        return b.gep(self.blocks[buffer.block], [index(buffer.offset)], source_etype=I8)


def fed(plan: Plan) -> dict[str, Value]:
    """The inputs of which there is a row for each step."""
    inputs = plan.program.inputs
    there = {k: inputs[k] for k in FED if k in inputs}
    return {k: v for k, v in there.items() if len(v.shape) <= 1 and id(v) not in plan.external}


def noted(plan: Plan) -> Value | None:
    """What is kept of each step: the first output, if it is a loss or what is best."""
    name, v = next(iter(plan.program.outputs.items()))
    return v if name in NOTED and plan.buffers[id(v)].block in ("state", "scratch") else None


def span(plan: Plan, v: Value) -> int:
    """The bytes of an array with its padding."""
    strides = plan.buffers[id(v)].strides
    if not strides:
        return v.dtype.itemsize
    row = -(-v.shape[-1] // plan.buffers[id(v)].lanes) * plan.buffers[id(v)].lanes
    return (v.shape[0] * strides[0] if len(strides) > 1 else row) * v.dtype.itemsize


def _copy(b: Any, to: Any, source: Any, nbytes: int) -> None:
    given = [to, source, index(nbytes), ir.Constant(I1, 0)]
    b.call_known("llvm.memcpy.p0.p0.i64", ir.VOID, given)
