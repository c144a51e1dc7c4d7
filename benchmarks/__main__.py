"""`python -m benchmarks`: one table of tarograd beside the textbook's code and the peers."""

from __future__ import annotations

import os
import platform

import click

WHAT = ("all", "step", "run", "import", "race", "whole")
QUIET = 0.9  # the share of a core that a row gets at least when nothing else runs


@click.command()
@click.argument(
    "what", type=click.Choice(["all", "step", "run", "import", "race", "whole"]), default="all"
)
@click.argument("works", type=click.Choice(["W1", "W2", "W3", "W4"]), nargs=-1)
@click.option("--quick", is_flag=True, help="A few steps only: shows that it works, not how fast.")
def main(what: str, works: tuple[str, ...], quick: bool) -> None:
    """Time a training STEP, a whole RUN of training, and the IMPORT; by default all of them.

    Everyone trains the two-layer network 784-50-10 of *Deep Learning from Scratch* on batches of
    100 with plain SGD, on one thread. The data is MNIST where TAROGRAD_DATA names the folder that
    contains mnist/, otherwise random images of its shape.

    A RACE is the training steps of four networks, W1 to W4, by the machine code of tarograd, of
    JAX and of PyTorch, beside the peak of the machine; the names choose among them. WHOLE is the
    first step, and a whole run, from the start of a process to its end.
    """
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"  # before NumPy and the peers are imported
    from threadpoolctl import threadpool_limits

    from benchmarks import contenders, measure, problem, race, table, timing, whole

    size = problem.QUICK if quick else problem.FULL
    sections: dict[str, list[table.Row]] = {}
    print(f"{table.machine()}, {os.cpu_count()} cores of which one is used")
    print(contenders.packages())
    if what == "race":
        timing.keep_to_one_core()
        with threadpool_limits(1):
            print(f"\n{race.race(size, works)}")
        return
    if what == "whole":
        print(f"\n{whole.processes(size)}")
        return
    with threadpool_limits(1):
        if what != "import":
            data = problem.dataset(size)
            print(f"{data.name}, {len(data.train)} training and {len(data.test)} test images")
        if what in ("all", "step"):
            title = f"training step, from {size.rounds} chunks of {size.chunk} steps"
            sections[title] = measure.steps(size, data)
        if what in ("all", "run"):
            title = f"whole run of {size.steps} steps, from {size.runs}"
            sections[title] = measure.runs(size, data)
    if what in ("all", "import"):
        title = f"import, from {size.imports} fresh interpreters of {platform.python_version()}"
        sections[title] = measure.imports(size)
    print(f"\n{table.table(sections)}")
    shares = [row.timing.cores for rows in sections.values() for row in rows if row.timing.cpu]
    if min(shares, default=1.0) < QUIET:
        print(f"\nThe machine was busy: a row got only {min(shares):.2f} of a core. Measure again.")


if __name__ == "__main__":
    main()
