from __future__ import annotations

from click.testing import CliRunner

from tarograd.cli.main import cli


def test_the_command_prints_a_step_that_python_can_read() -> None:
    result = CliRunner().invoke(cli, ["source", "--data", "digits", "--hidden", "7"])
    assert result.exit_code == 0
    compile(result.output, "source", "exec")
    assert "def step(images, labels, batch, lr, w1, b1, w2, b2):" in result.output
    assert "x = images[batch].astype(np.float32) / 16" in result.output  # the brightest of digits
    assert "w1 = w1 - lr * dw1" in result.output
