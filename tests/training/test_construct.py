"""construct: builds what a repr says, and runs nothing that a text says."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tarograd as tg
from commands import script
from tarograd import nn, optim
from tarograd.checkpoint import CheckpointError
from tarograd.training.construct import construct

REPRS: list[Any] = [
    nn.Affine(3, 2),
    nn.Affine(3, 2, seed=5),
    nn.Affine(3, 2, init=nn.Normal(0.1)),
    nn.Affine(3, 2, init=nn.Normal(1e-30)),
    nn.Affine(3, 2, init=nn.Xavier(), dtype=np.float64),
    nn.Affine(3, 2, init=nn.He(2.0), seed=2**64 - 1, dtype=np.float16),
    nn.ReLU(),
    nn.Sigmoid(),
    nn.Tanh(),
    nn.Dropout(0.0),
    nn.Dropout(0.3, seed=7),
    nn.SoftmaxWithLoss(),
    nn.SquaredError(),
    nn.Normal(),
    nn.Xavier(0.5),
    nn.He(),
    nn.TwoLayerNet(3, 2, 4),
    nn.TwoLayerNet(3, 2, 4, 0.5, seed=3),
    nn.TwoLayerNet(3, 2, 4, weight_init_std=1e-3),
    nn.Sequential(),
    nn.Sequential(nn.Affine(3, 2), nn.ReLU(), nn.Affine(2, 3, init=nn.Xavier()), nn.Tanh()),
    nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Affine(3, 4), nn.Sigmoid()), seed=9),
    nn.Sequential(nn.Affine(3, 2), criterion=nn.SquaredError(), seed=1),
    *(kind() for kind in optim.OPTIMIZERS.values()),
    *(kind(lr=0.003, weight_decay=0.1) for kind in optim.OPTIMIZERS.values()),
    optim.Momentum(lr=0.0, momentum=0.5),
    optim.Nesterov(momentum=0.99),
    optim.RMSProp(decay=0.5, eps=1e-300),
    optim.Adam(beta1=0.0, beta2=0.1, eps=0.0),
    optim.AdamW(lr=1e-5, weight_decay=0.0),
    optim.constant(0.1),
    optim.step_decay(0.1, every=3, factor=0.5),
    optim.cosine(0.1, steps=7, final=0.01),
    optim.warm_up(optim.cosine(0.1, steps=7), steps=3),
    optim.warm_up(0.1, steps=3),
    optim.SGD(lr=optim.warm_up(optim.step_decay(0.1, 3, 0.5), steps=3)),
]


@pytest.mark.parametrize("made", REPRS, ids=repr)
def test_what_a_repr_says_is_built_again(made: Any) -> None:
    again = construct(repr(made), weights=100)
    assert type(again) is type(made)
    assert repr(again) == repr(made)
    if isinstance(made, nn.Layer):
        for ours, its in zip(made.parameters(), again.parameters(), strict=True):
            assert ours.value.dtype == its.value.dtype
            assert ours.value.tobytes() == its.value.tobytes()
    if isinstance(made, optim.Schedule):
        assert [again(step) for step in range(12)] == [made(step) for step in range(12)]
    if isinstance(made, optim.Optimizer):
        assert vars(again).keys() == vars(made).keys()


def test_every_public_layer_optimizer_and_schedule_can_be_built() -> None:
    named = {**vars(nn), **vars(optim)}
    abstract = {"Layer", "Network", "Optimizer", "Schedule"}
    for name, thing in named.items():
        if isinstance(thing, type) and name not in abstract:
            assert any(type(made).__name__ == name for made in REPRS), name


HOSTILE = {
    "open": "open('/etc/passwd')",
    "import": "__import__('os').system('true')",
    "eval": "eval('1')",
    "exec": "exec('1')",
    "breakpoint": "breakpoint()",
    "exit": "exit()",
    "attribute": "Affine.mro()",
    "attribute of a call": "ReLU().call.__globals__",
    "attribute in an argument": "Dropout(rate=nn.He)",
    "class": "ReLU().__class__",
    "module": "np.zeros(5)",
    "numpy by a path": "np.load('file')",
    "dtype by a path": "Affine(1, 1, dtype=np.object_)",
    "dtype as text": "Affine(1, 1, dtype='float64')",
    "dtype with fields": "Affine(1, 1, dtype=[('a', 'f4')])",
    "lambda": "(lambda: 1)()",
    "lambda as a setting": "Affine(1, 1, init=lambda *a: 1)",
    "comprehension": "Sequential(*[ReLU() for i in range(10**9)])",
    "generator": "Sequential(*(ReLU() for i in range(10**9)))",
    "star": "Sequential(*[ReLU()])",
    "double star": "Dropout(**{'rate': 0.5})",
    "f-string": "Dropout(f'{open}')",
    "f-string as a name": "f'{1}'()",
    "conditional": "ReLU() if 1 else Tanh()",
    "boolean": "ReLU() or Tanh()",
    "comparison": "ReLU() == ReLU()",
    "walrus": "Dropout(rate := 0.5)",
    "arithmetic": "Dropout(10**10**10)",
    "shift": "Affine(1 << 40, 1)",
    "index": "[ReLU][0]()",
    "await": "await ReLU()",
    "yield": "(yield)",
    "statement": "import os",
    "two statements": "ReLU(); Tanh()",
    "assignment": "x = ReLU()",
    "list": "[1, 2]",
    "text": "'ReLU()'",
    "bytes as an argument": "Dropout(b'0.5')",
    "text as an argument": "Dropout('0.5')",
    "None as an argument": "Dropout(None)",
    "list as an argument": "Affine([[1.0]], [0.0])",
    "dictionary as an argument": "Sequential({})",
    "complex": "Dropout(1j)",
    "ellipsis": "Dropout(...)",
    "infinity": "Normal(1e999)",
    "a huge number": "Normal(1" + "0" * 400 + ")",
    "a number of too many digits": "Normal(" + "9" * 5000 + ")",
    "a huge seed": "Affine(1, 1, seed=18446744073709551616)",
    "huge sizes": "Affine(1000000000, 1000000000)",
    "huge sizes by name": "Affine(w=1000000, b=1000000)",
    "huge sizes of a network": "TwoLayerNet(1, 1000000000, 1000000000)",
    "huge sizes by name in a network": "TwoLayerNet(input_size=9999, hidden_size=9999)",
    "one size by name": "Affine(1000000, b=1000000)",
    "a huge bias": "Affine(1, 1000000000)",
    "many large layers": "Sequential(" + "Affine(9, 9), " * 40 + ")",
    "many repeated layers of a file": "Sequential(" + "Affine(5, 10), " * 3000 + ")",
    "negative sizes": "Affine(-9, -9)",
    "no size": "Affine(0, 5)",
    "broken sizes": "Affine(2.0, 3.0)",
    "sizes that are truths": "Affine(True, True)",
    "no arguments": "Affine()",
    "too many arguments": "ReLU(1)",
    "an unknown setting": "Dropout(0.5, mode='x')",
    "a setting twice": "Dropout(rate=0.1, rate=0.2)",
    "parameters injected": "SGD(parameters=[1])",
    "parameters injected by place": "SGD(ReLU())",
    "private settings": "Dropout(0.5, _calls=3)",
    "keyword injection": "Dropout(0.5, __class__=ReLU())",
    "a rate out of range": "Dropout(1.0)",
    "a layer in place of a number": "Dropout(ReLU())",
    "a number in place of a layer": "Sequential(3)",
    "an initializer in place of a layer": "Sequential(He())",
    "non-ASCII": "Rélu()",
    "a look-alike": "ReLU\u00a0(1)",
    "Cyrillic": "\u0410ffine(1, 1)",
    "full width": "\uff32\uff25LU()",  # Python reads other letters than those of the name
    "control characters": "ReLU(\x1b[31m)",
    "NUL": "ReLU(\x00)",
    "a lone surrogate": "ReLU(\udc80)",
    "newlines": "ReLU(\n\n",
    "a comment": "# ReLU()",
    "nothing": "",
    "blank": "   ",
    "unclosed": "Affine(1, 2",
    "deep calls": "Sequential(" * 30 + ")" * 30,
    "very deep calls": "Sequential(" * 150 + ")" * 150,
    "deep schedules": "warm_up(" * 60 + "0.1" + ", 2)" * 60,
    "deep parentheses": "(" * 5000 + "ReLU()" + ")" * 5000,
    "deep lists": "Dropout(" + "[" * 150 + "]" * 150 + ")",
    "deep minuses": "Dropout(" + "-" * 20000 + "1)",
    "deep attributes": "a" + ".a" * 20000,
    "deep calls of calls": "ReLU" + "()" * 10000,
    "deep sums": "Dropout(" + "1+" * 20000 + "1)",
    "very long": "Sequential(" + "ReLU(), " * 100_000 + ")",
    "a very long name": "A" * 40_000 + "()",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_anything_else_is_refused_in_one_short_line(text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        construct(text, weights=60)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) <= 1000


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_no_text_costs_much_memory(tmp_path: Path) -> None:
    import json

    (tmp_path / "texts.json").write_text(json.dumps(list(HOSTILE.values())))
    code = """
import json
from tarograd.checkpoint import CheckpointError
from tarograd.training.construct import construct
for text in json.load(open("texts.json")):
    for weights in (60, 10**6):
        try:
            construct(text, weights)
        except CheckpointError:
            pass
print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    outcome = script(code.replace("open(", "__import__('io').open("), folder=tmp_path)
    assert outcome.code == 0, outcome.err
    assert int(outcome.out.split()[1]) < 300_000  # kB


PIECES = [*"(),=*-.[]'\"", "Affine", "Sequential", "TwoLayerNet", "Dropout", "SGD", "warm_up"]
PIECES += ["cosine", "np.float32", "lr", "seed", "init", "He()", "0", "3", "2.5", "1e9", "True"]


@given(st.lists(st.sampled_from(PIECES), max_size=25))
def test_random_texts_are_built_or_refused(pieces: list[str]) -> None:
    built_or_refused("".join(pieces))


def test_edits_of_real_texts_are_built_or_refused() -> None:
    edits = random.Random(7)
    outcomes = set()
    for _ in range(4000):
        text = repr(edits.choice(REPRS))
        for _ in range(edits.randint(1, 3)):
            place = edits.randrange(len(text) + 1)
            text = text[:place] + edits.choice(PIECES) + text[place + edits.randrange(3) :]
        outcomes.add(built_or_refused(text))
    assert outcomes == {"built", "refused"}


def built_or_refused(text: str) -> str:
    """What happens to a text; everything else than these two is an error."""
    try:
        made = construct(text, weights=1000)
    except CheckpointError:
        return "refused"
    if isinstance(made, nn.Layer):
        assert sum(p.size for p in made.parameters()) <= 1000
    repr(made)
    return "built"


def test_the_weights_of_the_file_are_just_enough() -> None:
    net = tg.nn.TwoLayerNet(4, 3, 2)
    weights = sum(p.size for p in net.parameters())
    assert weights == 4 * 3 + 3 + 3 * 2 + 2
    assert repr(construct(repr(net), weights)) == repr(net)
    with pytest.raises(CheckpointError, match=r"of sizes \[4, 3, 2\] has more weights than the fi"):
        construct(repr(net), weights - 1)
