"""Plan: in which order the kernels run, and where each array lies.

All arrays lie in two blocks of memory: `state` holds the inputs and constants, `scratch` what a
step computes, where arrays that are never needed together share their place.

In comes the graph of two apples with their tax and derivatives; out come three kernels and a place
for each number:

    >>> import tarograd as tg
    >>> from tarograd.compiler.lower import lower
    >>> from tarograd.compiler.trace import trace
    >>> def shop(apple, count, tax):
    ...     payment = apple * count * tax
    ...     return [payment, *tg.grad(payment, [apple, count, tax])]
    >>> program = trace(shop, {"apple": 100.0, "count": 2.0, "tax": 1.1}, name="shop")
    >>> plan = Plan(lower(program), widest=16)
    >>> [(kernel.kind, len(kernel.values)) for kernel in plan.kernels]
    [('loop', 2), ('loop', 1), ('loop', 1)]
    >>> for name, v in plan.program.inputs.items():
    ...     print(name, plan.buffers[id(v)].block, plan.buffers[id(v)].offset)
    apple state 0
    count state 64
    tax state 128
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod

from tarograd.compiler.fusion import Fusion, Kernel
from tarograd.compiler.layout import ALIGNMENT, Buffer, lanes_of, padded_strides
from tarograd.compiler.placing import spelled_out
from tarograd.compiler.program import Program, Value
from tarograd.compiler.trace import Untraceable
from tarograd.ops import shape

LARGE = 2**16  # bytes of an array for which the cache has to make room


class Plan(Fusion):
    """The kernels of a program in order, and the places of its arrays.

    Args:
        program: lowered.
        widest: elements in a vector register, for float32.
        external: inputs that stay where they are, in arrays without padding.

    Attributes:
        kernels: in the order in which they run.
        buffers: the place of each array that is stored, by the `id` of its Value.
        copies: outputs that have to be copied onto the input whose new value they are, at the end.
        sizes: bytes of the two blocks.
        unshared: what `scratch` would take if no two arrays shared a place.

    Raises:
        Untraceable: for a primitive that no kernel computes, or an input that becomes another one.

    Example:
        >>> import numpy as np
        >>> from tarograd.compiler.lower import lower
        >>> from tarograd.compiler.trace import trace
        >>> def payment(apples, prices):
        ...     return (apples @ prices) * 1.1
        >>> shop = trace(payment, {"apples": np.ones((5, 3)), "prices": np.ones((3, 2))})
        >>> plan = Plan(lower(shop), widest=16)
        >>> [(k.kind, k.shape, [v.primitive.name for v in k.values]) for k in plan.kernels]
        [('matmul', (5, 2), ['matmul', 'multiply'])]
    """

    def __init__(self, program: Program, widest: int, external: tuple[str, ...] = ()) -> None:
        super().__init__(program)
        self.widest = widest
        self.external = {id(program.inputs[k]): k for k in external}
        self.buffers: dict[int, Buffer] = {}
        self.copies: list[tuple[Value, Value]] = []
        self._place_state()
        self._schedule()
        self._place_scratch()
        self._place_parts()

    def _layout(self, v: Value) -> tuple[tuple[int, ...], int, int]:
        strides, size = padded_strides(v.shape, self.widest)
        nbytes = -(-size * v.dtype.itemsize // ALIGNMENT) * ALIGNMENT
        return strides, nbytes, lanes_of(v.shape[-1] if v.shape else 1, self.widest)

    def _place_state(self) -> None:
        """Inputs in their order, then constants; external ones have blocks of their own."""
        offset = 0
        constants = [v for v in self.order if v.array is not None]
        for v in [*self.program.inputs.values(), *constants]:
            if id(v) in self.external:
                strides = tuple(prod(v.shape[i + 1 :]) for i in range(len(v.shape)))
                self.buffers[id(v)] = Buffer(self.external[id(v)], 0, strides, 1)
                continue
            strides, nbytes, lanes = self._layout(v)
            self.buffers[id(v)] = Buffer("state", offset, strides, lanes)
            offset += nbytes
        for v in self.order:  # the whole array in another shape: nothing has to move
            there = v.is_op(shape.reshape) and id(v.operands[0]) in self.external
            if there and not self.is_computed(v):
                strides = tuple(prod(v.shape[i + 1 :]) for i in range(len(v.shape)))
                self.buffers[id(v)] = Buffer(self.external[id(v.operands[0])], 0, strides, 1)
        self.sizes = {"state": offset}

    def _schedule(self) -> None:
        """Order the kernels; one that overwrites an input comes after those that still read it."""
        before: dict[Kernel, set[Kernel]] = {
            kernel: {self.kernel[i] for i, x in found.items() if x.primitive is not None}
            for kernel, found in self.reads.items()
        }
        inputs = self.program.inputs
        for name, new in self.program.outputs.items():
            old = inputs.get(name)
            if old is None or new is old:
                continue
            if new.primitive is None and new.array is None:
                raise Untraceable(f"the new value of {name!r} is another input as it is")
            writer = self.kernel.get(id(new))
            readers = {k for k, found in self.reads.items() if id(old) in found}
            in_place = writer is not None and id(new) not in self.buffers
            if writer is None or not in_place or (writer, id(old)) in self.indirect:
                self.copies.append((new, old))
                continue
            added = readers - {writer}
            if any(writer in _all_before(k, before) for k in added):
                self.copies.append((new, old))
                continue
            before[writer] |= added
            self.buffers[id(new)] = self.buffers[id(old)]
        self._order(before)

    def _order(self, before: Mapping[Kernel, set[Kernel]]) -> None:
        """One after the other; what needs more memory than it frees comes after what does not.

        So a weight is updated as soon as its gradient can be computed, and not at the end.
        """
        self.kernels: list[Kernel] = []
        waiting = sorted(self.position, key=self.position.__getitem__)
        done: set[Kernel] = set()
        unread: dict[int, set[Kernel]] = {}
        for kernel, found in self.reads.items():
            for i in found:
                unread.setdefault(i, set()).add(kernel)

        def grows(kernel: Kernel) -> bool:
            made = (v for v in kernel.values if id(v) in self.stored and id(v) not in self.buffers)
            read = (x for i, x in self.reads[kernel].items() if i in self.stored)
            freed = (x for x in read if unread[id(x)] == {kernel} and id(x) not in self.buffers)
            return _bytes_of_large(made) > _bytes_of_large(freed)

        while waiting:
            ready = (k for k in waiting if before[k] <= done)
            first = next(ready)
            kernel = next((k for k in ready if not grows(k)), first) if grows(first) else first
            waiting.remove(kernel)
            self.kernels.append(kernel)
            done.add(kernel)
            for i in self.reads[kernel]:
                unread[i].discard(kernel)

    def _place_scratch(self) -> None:
        """First fit: a place is free again when the last kernel that reads it has run."""
        last = {id(v): len(self.kernels) for v in self.program.outputs.values()}
        for time, kernel in enumerate(self.kernels):
            for i in self.reads[kernel]:
                last[i] = max(last.get(i, 0), time)
        living: list[tuple[int, int, int]] = []  # start, end, last use
        self.unshared = self.sizes["scratch"] = 0
        for time, kernel in enumerate(self.kernels):
            living = [part for part in living if part[2] >= time]
            for v in kernel.values:
                if id(v) not in self.stored or id(v) in self.buffers:
                    continue
                strides, nbytes, lanes = self._layout(v)
                start = 0
                for begin, end, _ in sorted(living):
                    if begin - start >= nbytes:
                        break
                    start = max(start, end)
                living.append((start, start + nbytes, last.get(id(v), time)))
                self.buffers[id(v)] = Buffer("scratch", start, strides, lanes)
                self.unshared += nbytes
                self.sizes["scratch"] = max(self.sizes["scratch"], start + nbytes)

    def _place_parts(self) -> None:
        """Whole rows of an array are arrays too: what does the same to others of them is alike.

        An unrolled recurrent network reads another step of its input in each kernel.
        """
        for v in self.order:
            if not v.is_op(shape.index) or self.is_computed(v) or len(v.operands) > 1:
                continue
            x, key = v.operands[0], spelled_out(v.attributes["key"], len(v.operands[0].shape))
            buffer = self.buffers.get(id(x))
            if buffer is None or id(v) in self.buffers or None in key or 0 in x.shape:
                continue
            spans = [
                (p % n, 0, 1) if isinstance(p, int) else p.indices(n)
                for p, n in zip(key, x.shape, strict=True)
            ]
            if spans[-1] != (0, x.shape[-1], 1) or any(step != 1 for *_, step in spans):
                continue
            first = sum(s[0] * stride for s, stride in zip(spans, buffer.strides, strict=True))
            pairs = zip(key, buffer.strides, strict=True)
            kept = tuple(stride for p, stride in pairs if isinstance(p, slice))
            offset = buffer.offset + first * v.dtype.itemsize
            self.buffers[id(v)] = replace(buffer, offset=offset, strides=kept)


def _bytes_of_large(arrays: Iterable[Value]) -> int:
    """Of those that are large."""
    sizes = (prod(v.shape) * v.dtype.itemsize for v in arrays)
    return sum(n for n in sizes if n >= LARGE)


def _all_before(kernel: Kernel, before: dict[Kernel, set[Kernel]]) -> set[Kernel]:
    """Everything that has to run before a kernel, directly or not."""
    found: set[Kernel] = set()
    stack = [kernel]
    while stack:
        for other in before[stack.pop()] - found:
            found.add(other)
            stack.append(other)
    return found
