"""Tarō buys two apples: a computational graph, its value, and its derivatives.

apple 100 ─┐
           × ── 200 ─┐
count   2 ─┘         × ── payment 220
tax   1.1 ───────────┘
"""

import tarograd as tg

# Forward: every step of the calculation becomes a node of the graph.
apple = tg.Tensor(100, "apple")
count = tg.Tensor(2, "count")
tax = tg.Tensor(1.1, "tax")
payment = apple * count * tax

# Backward: from the payment against the arrows, each node passes the derivative on.
payment.backward()

print(f"Tarō buys 2 apples for 100 yen each. With 10 % tax he pays {payment.item():g} yen.")
print()
print("         value  derivative")
meanings = {
    apple: "each yen on the price of an apple costs him {:g} yen",
    count: "one apple more costs {:g} yen",
    tax: "if the tax rose by 100 %, it would cost {:g} yen",
}
for x, meaning in meanings.items():
    print(f"  {x.name:<5} {x.item():>6g}  {x.grad:>10.6g}  {meaning.format(x.grad)}")
