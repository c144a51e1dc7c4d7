"""Two apples, three oranges, tax: derivatives of everything on the way, from one walk back.

apple    100 ─┐
              × ── apples  200 ─┐
apples     2 ─┘                 │
                                + ── fruit 650 ─┐
orange   150 ─┐                 │               × ── payment 715
              × ── oranges 450 ─┘               │
oranges    3 ─┘                                 │
tax      1.1 ───────────────────────────────────┘
"""

import tarograd as tg

values = {"apple price": 100, "apple count": 2, "orange price": 150, "orange count": 3, "tax": 1.1}
apple, apples, orange, oranges, tax = (tg.Tensor(x, name) for name, x in values.items())

all_apples = apple * apples
all_oranges = orange * oranges
fruit = all_apples + all_oranges
payment = fruit * tax

print(f"2 apples and 3 oranges, with tax: {payment.item():g} yen\n")

print("The leaves of the graph      value  derivative")
payment.backward()
for x in (apple, apples, orange, oranges, tax):
    print(f"  {x.name:<20} {x.item():>11g}  {x.grad:>10.6g}")

print("\nThe values on the way")
inner = {"all apples": all_apples, "all oranges": all_oranges, "fruit": fruit, "payment": payment}
slopes = tg.grad(payment, list(inner.values()))
for name, x, slope in zip(inner, inner.values(), slopes, strict=True):
    print(f"  {name:<20} {x.item():>11g}  {slope.item():>10.6g}")

print("\nAddition passes the derivative on as it is; multiplication, times the other factor.")
