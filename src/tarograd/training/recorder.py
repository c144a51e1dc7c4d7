"""The recorder of a run: moments to look at afterwards, or while it goes on.

While the run computes, a moment is only a handful of references to arrays that nobody writes
into. It is developed, by making one step again on the side, when the run's files are written.
"""

from __future__ import annotations

import json
import sys
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from tarograd.checkpoint import CheckpointError, write_atomically
from tarograd.drawing.film import Film, run_page
from tarograd.drawing.html import json_text
from tarograd.drawing.labels import name_text
from tarograd.drawing.numbers import plain
from tarograd.graph import Array
from tarograd.training.findings import findings
from tarograd.training.health import first_nonfinite
from tarograd.training.history import History
from tarograd.training.replay import Parts, Replay, State, state_of
from tarograd.training.vitals import Vitals, read_vitals, vitals

if TYPE_CHECKING:
    from tarograd.drawing.live import Server

FORMAT, VERSION = "tarograd-run", 1
MOMENTS = 60
EARLY = (0, 1, 2, 5, 10, 20, 35, 50)  # most illnesses are there at once, or after a few steps
BYTES = 2_700_000  # of all moments together; the page adds less than 0.2 MB
# A moment takes as long as 20 to 100 compiled steps, and longer where the parameters are many. So
# there is one for every so many steps, and for every so many parameters at all moments together;
# the report then takes about a tenth of the time of the steps, or two seconds.
STEPS, ELEMENTS, FEWEST = 300, 20_000_000, 16
WAITING = 64 * 2**20  # bytes of arrays that undeveloped moments keep
PIECES = 300  # of the loss curve: twice as many as a narrow screen can show
PAUSE, SHARE = 0.2, 0.04  # seconds between moments that are shown, and their share of all time
PATIENCE = 250  # a report is rewritten after so many times as long as that takes
DEVELOPED = 0.01  # seconds of a moment, about, before the first report was written


@dataclass(frozen=True)
class Moment:
    """A developed moment: its measurements, and all that the page shows, as JSON."""

    vitals: Vitals
    text: str

    @property
    def step(self) -> int:
        """How many steps had been made."""
        return self.vitals.step


def schedule(steps: int, elements: int = 1) -> list[int]:
    """The steps of a run at which a moment is recorded: the first ones, then even distances.

    Args:
        steps: of the run.
        elements: of its parameters.

    Example:
        >>> schedule(40), len(schedule(10_000)), len(schedule(10**6))
        ([0, 1, 2, 5, 10, 20, 35, 40], 33, 60)
    """
    most = min(steps // STEPS, ELEMENTS // max(1, elements))
    moments = min(MOMENTS, max(FEWEST, most))
    rest = moments - len(EARLY)
    even = {EARLY[-1] + (steps - EARLY[-1]) * (i + 1) // rest for i in range(rest)}
    return sorted({s for s in EARLY if s < steps} | {s for s in even if s > EARLY[-1]} | {steps})


def thinned(steps: Iterable[int], most: int) -> set[int]:
    """At most so many of the steps; of the others those that stand closest go.

    Example:
        >>> sorted(thinned([0, 100, 200, 210, 300], most=4))
        [0, 100, 200, 300]
    """
    kept = sorted(set(steps))
    while len(kept) > max(2, most):
        late = [i for i in range(1, len(kept) - 1) if kept[i] not in EARLY]
        inner = late or range(1, len(kept) - 1)
        del kept[min(inner, key=lambda i: (kept[i + 1] - kept[i - 1], -kept[i]))]
    return set(kept)


class Recorder:
    """Records a run of `steps` steps, and writes the page that shows it.

    A `with` block around the run writes the last report, whatever ends the run.

    Args:
        parts: the network, its loss layer, the optimizer, the mini-batches and the images that a
            Replay is made of.
        steps: of the whole run.
        history: of the run; it fills while the run goes on.
        losses: of all steps; those that were made are filled in.
        about: the settings that the page names.
        path: of the report; None to write none.
        server: that shows the run while it goes on, or None.
    """

    def __init__(
        self,
        parts: Parts,
        steps: int,
        history: History,
        losses: Array,
        about: dict[str, Any],
        path: Path | None,
        server: Server | None = None,
    ) -> None:
        self.parts, self.steps, self.history, self.losses = parts, steps, history, losses
        self.about, self.path, self.server = about, path, server
        self.moments: list[Moment] = []
        self.film = Film()
        self.trouble = ""  # why nothing is recorded any more
        elements = sum(p.size for p in parts[0].parameters())
        self._due = schedule(steps, elements) if path or server else []
        self._due_set = frozenset(self._due)
        self._taken = -1  # the step of the last moment
        self._replay: Replay | None = None
        self._waiting: list[State] = []
        self._written = self._shown = time.monotonic()
        self._cost = self._show_cost = self._shown_at = 0.0
        self._live: deque[Vitals] = deque(maxlen=MOMENTS)  # shown, but not kept for the report
        self._position = 0

    def __enter__(self) -> Recorder:
        if self._due:
            try:
                self._replay = Replay(*self.parts)  # a copy of the layers as they are at the start
            except Exception as error:
                self.trouble = f"{type(error).__name__}: {error}"
        if self.server:
            self.server.page = self.page
            print(f"watch the run at {self.server.url}", file=sys.stderr, flush=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.end(self.parts[2].step_count, error)

    def room(self, done: int) -> int:
        """How many steps there are from here to the next moment."""
        place = bisect_right(self._due, done)
        return self._due[place] - done if place < len(self._due) else self.steps - done

    def look(self, done: int) -> None:
        """Keep this moment if it is due, and show it if somebody looks; cheap after each step."""
        self._position = done
        if done in self._due_set and not self.trouble and self._taken != done:
            self._taken = done
            self._waiting.append(self._state(done))
            if len(self._waiting) * self._waiting[0].nbytes > WAITING:
                self.develop()
        if self.server and self.server.watched:
            # Its share is one of the time that this thread gets, also on a busy machine.
            rested = time.thread_time() - self._shown_at > self._show_cost / SHARE
            if rested and time.monotonic() - self._shown > PAUSE:
                self._show(done, self.server)

    def _show(self, done: int, server: Server) -> None:
        """Send what is new to the browsers that show the run."""
        began = time.thread_time()  # other programs' work does not count
        known = {m.step for m in self.moments}
        self.develop(1)  # the others when there is time for it, or at the end
        fresh = [m for m in self.moments if m.step not in known]
        if all(m.step != done for m in fresh):
            moment = self._attempt(self._state(done))
            if moment is not None:
                fresh.append(moment)
                self._live.append(moment.vitals)
        self._send(server, fresh, self.news(done, "running"))
        self._shown, self._shown_at = time.monotonic(), time.thread_time()
        self._show_cost = self._shown_at - began

    def _send(self, server: Server, moments: list[Moment], news: dict[str, Any]) -> None:
        pictures = json_text(self.film.pictures)
        texts = ",".join(m.text for m in moments)
        server.send(f'{json_text(news)[:-1]},"pictures":{pictures},"moments":[{texts}]}}')

    def page(self, event: int) -> str:
        """The page for a browser that comes now; it knows the events up to `event`."""
        return run_page(self.title, self.json(self._position, "running", event=event), live=True)

    def develop(self, most: int = MOMENTS) -> None:
        """Make pages of the moments that wait, or of the oldest of them."""
        for _ in range(most):
            if not self._waiting:
                break
            moment = self._attempt(self._waiting.pop(0))
            if moment is not None:
                self.moments.append(moment)
                self._thin()

    def _thin(self) -> None:
        """Keep what a report can hold; what it cannot need not be developed."""
        room = min(MOMENTS, BYTES // max(len(m.text) for m in self.moments))
        steps = [m.step for m in self.moments] + [s.step for s in self._waiting]
        kept = thinned(steps, room)
        self.moments = [m for m in self.moments if m.step in kept]
        self._waiting = [s for s in self._waiting if s.step in kept]

    def _attempt(self, state: State, failed: bool = False) -> Moment | None:
        """A picture is no reason to lose a run: what a layer of the user's raises is only noted."""
        try:
            return None if self.trouble else self._developed(state, failed)
        except Exception as error:
            self.trouble = f"{type(error).__name__}: {error}"
            return None

    def _state(self, done: int) -> State:
        network, _, optimizer, batches, _ = self.parts
        return state_of(network, optimizer, batches, done)

    def _developed(self, state: State, failed: bool = False) -> Moment:
        if self._replay is None:
            raise RuntimeError("a recorder works within its with block")
        seen = self._replay.see(state)
        found = vitals(seen, state.step)
        data = {"vitals": found.json(), **self.film.frame(seen.trace)}
        data["paths"] = {path: value for value, path in seen.paths.items()}
        origin = first_nonfinite(seen.loss) if failed else None
        if origin is not None:
            at = next((v for v in seen.trace.values if v.array is origin.value), None)
            data["origin"] = {
                "kind": origin.kind,
                "name": name_text(origin.name),
                "where": origin.where,
                "shape": origin.shape,
                "bad": origin.bad,
                "size": origin.size,
                "node": at.node if at is not None else None,
                "inputs": [
                    asdict(i) | {end: _plain(getattr(i, end)) for end in ("low", "high")}
                    for i in origin.inputs
                ],
            }
        return Moment(found, json_text(data))

    def save(self, done: int) -> None:
        """Write the report of a run that goes on, unless that would cost too much time."""
        cost = max(self._cost, DEVELOPED * len(self._waiting))
        if time.monotonic() - self._written > PATIENCE * cost:
            self.write(done, "running")

    def end(self, done: int, error: BaseException | None) -> None:
        """Write the last report; after an error with the moment at which it happened."""
        known = {m.step for m in self.moments}
        self.develop()
        state, message = "finished", ""
        if isinstance(error, SystemExit | KeyboardInterrupt):
            state = "stopped"
        elif error is not None:
            state, message = "failed", f"{type(error).__name__}: {error}"
            last = self._attempt(self._state(done), failed=True)
            if last is not None:
                self.moments = [m for m in self.moments if m.step != done] + [last]
                known.discard(done)
        if self.server:
            fresh = [m for m in self.moments if m.step not in known]
            self._send(self.server, fresh, self.news(done, state, message))
        self.write(done, state, message)

    def write(self, done: int, state: str, message: str = "") -> None:
        """Write report.html."""
        if self.path is None:
            return
        began = time.thread_time()
        self.develop()
        try:
            page = run_page(self.title, self.json(done, state, message))
            write_atomically(self.path, page.encode())
        except CheckpointError as error:
            if state == "finished":  # otherwise there is worse to be told
                print(f"no report: {error}", file=sys.stderr)
        self._written = time.monotonic()
        self._cost = time.thread_time() - began

    @property
    def title(self) -> str:
        """Of the page."""
        return f"{name_text(type(self.parts[0]).__name__)} – tarograd"

    def json(self, done: int, state: str, message: str = "", event: int = 0) -> str:
        """Everything that the page shows, as JSON."""
        about = {"format": FORMAT, "version": VERSION, "event": event}
        head = json_text(about | self.news(done, state, message))
        moments = ",".join(m.text for m in self.moments)
        pictures = json_text(self.film.pictures)  # after the moments, which may add one
        return f'{head[:-1]},"pictures":{pictures},"moments":[{moments}]}}'

    def news(self, done: int, state: str, message: str = "") -> dict[str, Any]:
        """What changes with every step, beside the moments."""
        seen = [m.vitals for m in self.moments]
        if state == "running":  # the report itself depends on nobody's looking
            kept = {v.step for v in seen}
            seen += [v for v in self._live if v.step not in kept]
        return {
            "about": self.about,
            "steps": self.steps,
            "done": done,
            "state": state,
            "message": message,
            "trouble": self.trouble,
            "curve": curve(self.losses[:done]),
            "epochs": self.history.rows(),
            "findings": [asdict(f) for f in findings(sorted(seen, key=lambda v: v.step))],
        }

    def resume(self, done: int) -> None:
        """Take up the moments that the report of an earlier part of the run holds."""
        if self.path is None or not self.path.is_file():
            return
        try:
            text = self.path.read_text(encoding="utf-8")
            _, _, rest = text.partition('<script type="application/json" id="data">')
            run = json.loads(rest.partition("</script>")[0])["run"]
            if (run["format"], run["version"]) != (FORMAT, VERSION):
                return
            moments = [Moment(read_vitals(m["vitals"]), json_text(m)) for m in run["moments"]]
            pictures = list(run["pictures"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return  # without its report a run goes on all the same
        self.moments = [m for m in moments if m.step <= done]
        self.film.pictures = pictures
        self._taken = self.moments[-1].step if self.moments else -1


def _plain(x: float | None) -> float | str | None:
    return None if x is None else plain(x)


def curve(losses: Array) -> list[list[float | str]]:
    """The losses in at most `PIECES` pieces, each its last step, least, mean and greatest loss.

    Example:
        >>> curve(np.array([2.0, 1.0]))
        [[1, 2.0, 2.0, 2.0], [2, 1.0, 1.0, 1.0]]
    """
    if not len(losses):
        return []
    pieces = min(PIECES, len(losses))
    starts = np.arange(pieces) * len(losses) // pieces
    ends = np.append(starts[1:], len(losses))
    low, high = (f.reduceat(losses, starts) for f in (np.minimum, np.maximum))
    mean = np.add.reduceat(losses, starts) / (ends - starts)
    rows = zip(ends.tolist(), low.tolist(), mean.tolist(), high.tolist(), strict=True)
    return [[end, *(plain(float(f"{x:.5g}")) for x in numbers)] for end, *numbers in rows]
