"""The two-layer network learns to read digits: the training loop of the textbook, by hand.

In one line it is `tg.fit(net, data, epochs=50)`.
"""

import numpy as np

import tarograd as tg

data = tg.data.load("digits")
x_train, t_train = data.train
x_test, t_test = data.test

net = tg.nn.TwoLayerNet(input_size=64, hidden_size=50, output_size=10)
net.pixel_max = data.pixel_max  # 16: the images are divided by it


def report(step: int) -> None:
    """One line on what the network can do by now."""
    loss = net.loss(x_train, t_train)
    train, test = net.accuracy(x_train, t_train), net.accuracy(x_test, t_test)
    print(f"  {step:>4}  {loss:.4f}  {train:>8.2%}  {test:>6.2%}")


print(f"{len(x_train)} images of 8×8 pixels to learn from, {len(x_test)} to be asked about\n")
print("  step    loss  training    test")
report(0)
random = np.random.default_rng(0)
learning_rate = 0.5
for step in range(1, 1001):
    batch = random.choice(len(x_train), 100)
    grads = net.gradient(x_train[batch], t_train[batch])
    for key in ("w1", "b1", "w2", "b2"):
        net.params[key] -= learning_rate * grads[key]
    if step % 200 == 0:
        report(step)

shades = np.array(list(" .:-=+*#%@"))
scores = net.predict(x_test)
wrong = np.flatnonzero(scores.argmax(axis=1) != t_test)
print(f"\nOf {len(x_test)} digits it has never seen, it misreads {len(wrong)}. One of them:\n")
for row in shades[x_test[wrong[0]] * 9 // 16]:
    print(f"    {''.join(np.repeat(row, 2))}".rstrip())
chances = tg.softmax(scores[wrong[0]])
print(f"\nIt says {chances.argmax()} ({chances.max():.0%}), the writer meant {t_test[wrong[0]]}.")
