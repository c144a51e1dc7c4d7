"""Share: a step of several threads, which take the kernels' work from one another in units.

Each thread goes through all kernels of all steps in the same order. Of the kernel at hand it takes
a few units, such as tiles or rows, does them, and takes again, until none are left; then it waits
until those that the others have taken are done, and goes on. A thread that was held up is waited
for only as long as it has taken something, so one alone can get through everything: a machine that
is busy makes the run no slower than a single thread would be. Which thread computes a unit changes
nothing about it, so that the results have the same bits whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

from tarograd.compiler.fusion import Kernel
from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.operations import HEAVY
from tarograd.compiler.llvm.words import I8, I64, between, index, loop

# Nanoseconds for each, measured on one core of 2.6 GHz with vectors of 512 bits.
OF_OPERATION, FAST, SLOW = 0.01, 0.1, 0.45
OF_ELEMENT = {"reduce": 0.05, "visits": 0.08, "draw": 4.0}
# A kernel that takes less is not shared; to take a part of one that takes less is not worth it.
WORTH_SHARING, WORTH_TAKING = 8_000.0, 4_000.0
TEAM_BYTES, PHASE_BYTES = 256, 128  # of the memory through which the threads agree
SPINS = 300  # looks before a thread goes to sleep: some millionths of a second
AGREEMENT = """
define internal i64 @take(ptr %taken, i64 %step, i64 %units, i64 %grain) {{
entry:
  br label %try
try:
  %seen = load atomic i64, ptr %taken acquire, align 8
  %of = lshr i64 %seen, 32
  %over = icmp ugt i64 %of, %step
  br i1 %over, label %none, label %look
look:
  %fresh = icmp ult i64 %of, %step
  %low = and i64 %seen, 4294967295
  %unit = select i1 %fresh, i64 0, i64 %low
  %left = icmp ult i64 %unit, %units
  br i1 %left, label %swap, label %none
swap:
  %high = shl i64 %step, 32
  %after = add i64 %unit, %grain
  %new = or i64 %high, %after
  %pair = cmpxchg ptr %taken, i64 %seen, i64 %new acq_rel acquire
  %mine = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %mine, label %got, label %try
got:
  ret i64 %unit
none:
  ret i64 -1
}}

define internal void @finish(ptr %team, ptr %done, i64 %count, i64 %target) {{
  %before = atomicrmw add ptr %done, i64 %count seq_cst
  %now = add i64 %before, %count
  %last = icmp eq i64 %now, %target
  br i1 %last, label %all, label %out
all:
  %sleepers.at = getelementptr i8, ptr %team, i64 64
  %sleepers = load atomic i64, ptr %sleepers.at seq_cst, align 8
  %nobody = icmp eq i64 %sleepers, 0
  br i1 %nobody, label %out, label %wake
wake:
  %mutex = getelementptr i8, ptr %team, i64 128
  %condition = getelementptr i8, ptr %team, i64 192
  %lock = load ptr, ptr %team
  %unlock.at = getelementptr i8, ptr %team, i64 8
  %unlock = load ptr, ptr %unlock.at
  %broadcast.at = getelementptr i8, ptr %team, i64 24
  %broadcast = load ptr, ptr %broadcast.at
  %locked = call i32 %lock(ptr %mutex)
  %told = call i32 %broadcast(ptr %condition)
  %unlocked = call i32 %unlock(ptr %mutex)
  br label %out
out:
  ret void
}}

define internal void @await(ptr %team, ptr %done, i64 %target) {{
entry:
  br label %spin
spin:
  %spins = phi i64 [ 0, %entry ], [ %more, %again ]
  %seen = load atomic i64, ptr %done acquire, align 8
  %ready = icmp uge i64 %seen, %target
  br i1 %ready, label %out, label %again
again:
  {pause}
  %more = add i64 %spins, 1
  %enough = icmp eq i64 %more, {spins}
  br i1 %enough, label %sleep, label %spin
sleep:
  %mutex = getelementptr i8, ptr %team, i64 128
  %condition = getelementptr i8, ptr %team, i64 192
  %sleepers = getelementptr i8, ptr %team, i64 64
  %lock = load ptr, ptr %team
  %unlock.at = getelementptr i8, ptr %team, i64 8
  %unlock = load ptr, ptr %unlock.at
  %wait.at = getelementptr i8, ptr %team, i64 16
  %wait = load ptr, ptr %wait.at
  %locked = call i32 %lock(ptr %mutex)
  %joined = atomicrmw add ptr %sleepers, i64 1 seq_cst
  br label %check
check:
  %now = load atomic i64, ptr %done seq_cst, align 8
  %over = icmp uge i64 %now, %target
  br i1 %over, label %wake, label %park
park:
  %parked = call i32 %wait(ptr %condition, ptr %mutex)
  br label %check
wake:
  %left = atomicrmw sub ptr %sleepers, i64 1 seq_cst
  %unlocked = call i32 %unlock(ptr %mutex)
  br label %out
out:
  ret void
}}
"""


@dataclass
class Share:
    """Which units of its work the function of a kernel does when it is called.

    Attributes:
        first, last: from this unit on, to before that one; arguments of the function.
        units: how many there are, counted while the function is written.
    """

    first: Any
    last: Any
    units: int = 0

    @contextmanager
    def over(self, b: Any, count: int) -> Iterator[Any]:
        """Emit the `with` block as a loop over those of `count` more units that are asked for."""
        start = _above(b, b.sub(self.first, index(self.units)), ">", 0)
        stop = _above(b, b.sub(self.last, index(self.units)), "<", count)
        self.units += count
        with between(b, start, stop) as i:
            yield i

    @contextmanager
    def loop(self, b: Any, stop: int, step: int = 1) -> Iterator[Any]:
        """A loop over 0, step, … below `stop`, of which each round is a unit if none are yet."""
        if self.units or stop <= step:
            with loop(b, stop, step) as i:
                yield i
        else:
            with self.over(b, -(-stop // step)) as i:
                yield b.mul(i, index(step)) if step > 1 else i


def _above(b: Any, x: Any, sign: str, bound: int) -> Any:
    return b.select(b.icmp_signed(sign, x, index(bound)), x, index(bound))


def nanoseconds(kernel: Kernel) -> float:
    """About how long a kernel takes."""
    first, *rest = kernel.values
    if kernel.kind == "matmul":
        return OF_OPERATION * prod(first.shape) * 2 * first.operands[0].shape[-1]
    size = max([prod(kernel.shape), *(prod(x.shape) for x in first.operands[:1])])
    if kernel.kind in OF_ELEMENT:
        return OF_ELEMENT[kernel.kind] * size + FAST * prod(kernel.shape) * len(rest)
    return size * sum(SLOW if v.primitive in HEAVY else FAST for v in kernel.values)


# Emits a piece of work, for the units from one to before another: (builder, first, last).
Body = Callable[[Any, Any, Any], None]


@dataclass
class Phase:
    """What has to be done before anything that follows.

    Attributes:
        body: emits it.
        units: how many there are.
        grain: how many a thread takes at once.
    """

    body: Body
    units: int = 1
    grain: int = 1


def phase(kernel: Kernel, units: int, body: Body) -> Phase:
    """A kernel in as many units as are worth it."""
    whole = nanoseconds(kernel)
    if units < 2 or whole < WORTH_SHARING:
        return Phase(lambda b, first, last: body(b, index(0), index(units)))
    return Phase(body, units, min(units, max(1, round(units * WORTH_TAKING / whole))))


def merged(phases: Sequence[Phase]) -> list[Phase]:
    """Those that one thread does alone are one where they follow each other."""
    found: list[Phase] = []
    for each in phases:
        if found and found[-1].units == each.units == 1:
            found[-1] = Phase(partial(_both, found[-1].body, each.body))
        else:
            found.append(each)
    return found


def _both(one: Body, other: Body, b: Any, first: Any, last: Any) -> None:
    one(b, first, last)
    other(b, first, last)


def emit_phases(b: Any, phases: Sequence[Phase], team: Any, step: Any) -> None:
    """Emit the phases of one step, as each of the threads goes through them.

    Args:
        b: the builder, inside of the loop over steps.
        phases: of the step.
        team: the address of the memory through which the threads agree.
        step: the number of the step, from 1 on.
    """
    take, finish, wait = _agreement(b.module)
    for number, each in enumerate(phases):
        place = TEAM_BYTES + PHASE_BYTES * number
        taken = b.gep(team, [index(place)], source_etype=I8)
        done = b.gep(team, [index(place + PHASE_BYTES // 2)], source_etype=I8)
        target = b.mul(step, index(each.units))
        again, work, over = (b.append_basic_block(n) for n in ("take", "work", "wait"))
        b.branch(again)
        b.position_at_end(again)
        first = b.call(take, [taken, step, index(each.units), index(each.grain)])
        b.cbranch(b.icmp_signed("<", first, index(0)), over, work)
        b.position_at_end(work)
        last = _above(b, b.add(first, index(each.grain)), "<", each.units)
        each.body(b, first, last)
        b.call(finish, [team, done, b.sub(last, first), target])
        b.branch(again)
        b.position_at_end(over)
        b.call(wait, [team, done, target])


def _agreement(module: Any) -> list[Any]:
    """The functions by which the threads agree."""
    pause = ""
    if module.triple.startswith("x86_64"):
        name = "llvm.x86.sse2.pause"
        pause = f"call void @{name}()"
        ir.Function(module, ir.VOID, [], name)
    kinds = {
        "take": (I64, [ir.POINTER, I64, I64, I64]),
        "finish": (ir.VOID, [ir.POINTER, ir.POINTER, I64, I64]),
        "await": (ir.VOID, [ir.POINTER, ir.POINTER, I64]),
    }
    text = AGREEMENT.format(pause=pause, spins=SPINS)
    parts = text.strip().split("\n\n")
    return [
        ir.Function(module, *kind, name, part)
        for (name, kind), part in zip(kinds.items(), parts, strict=True)
    ]
