"""Whose turn it is: tickets for cameras, by deadline while the machine keeps up, by weight while it does not.

A pure state machine: it has no thread and no clock; every call says what time it is, s. Cameras say when a picture
arrived, workers ask for a ticket and give it back. A ticket is for a camera, not for a frame: its holder takes the
newest picture that the camera has then.

- A camera with a rate is due once in each period. It is served when a picture arrives within half of the camera's own
  interval round that moment, so that what is served is fresh; a camera that is silent then is served from what it has.
- While all deadlines are met the nearest goes first (EDF). When one has passed, the machine is overloaded, and the
  camera goes first that has had the least of it for its weight (start-time fair queueing; what is shared is the time
  that tickets take, so that a camera whose frames are dear pays for them itself).
- A camera without a rate has what is left: no look of it begins that would be in the way of a picture of a camera with
  a rate that is about to come, and what it has no time for is no overload.
- A camera holds at most so many tickets (one, where there are several cameras): a flood or a hang costs one worker.
- Under overload a camera of outstanding weight, whose demand is well within its share, gets the machine to itself when
  its picture is about to come: it is served as if it were alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from saccade.pipeline.rhythm import DEVIATIONS, JITTER, LATENESS, SMOOTHING, Rhythm

OVERLOAD_SECONDS = 1.0
"""So long after the last missed deadline the machine still counts as overloaded, s."""
FIRST_COST = 0.01
"""What a ticket is thought to take before any has been given back, s."""
PULL = 0.005
"""Due times give way to a camera's pictures by so much of a period at most: a rate is kept to half a percent."""
NEW = 3
"""So many looks a camera is new."""
STAGGER = 0.618
"""Of a period, from one camera's due times to those of the next: the golden section leaves no two close together."""
PATIENCE = 5.0
"""A camera without a rate waits so many times what its look takes for those with one, at most."""
DEAREST = 3.0
"""A single look counts as so many times what one takes on average, at most."""
OUTSTANDING = 2.0
"""So many times the least weight makes a camera one that others wait for."""


@dataclass(slots=True, eq=False)
class Ticket:
    """Leave to work for a camera. granted : when, s. fresh : when the picture it was granted for had arrived, s.

    due : the camera's due time before this ticket, to be restored where it came to nothing. seat : the camera's own,
    of those that had its name. held : its holder waits for who takes the result.
    """

    camera: str
    granted: float
    fresh: float
    due: float
    seat: _Camera
    held: bool = False
    revoked: bool = False


@dataclass(slots=True, eq=False)
class _Camera:
    name: str
    rate: float | None
    weight: float
    due: float
    tag: float
    most: int = 1
    stagger: float = 0.0
    paused: bool = False
    fresh: float | None = None
    rhythm: Rhythm = field(default_factory=Rhythm)
    cost: float = 0.0
    spread: float = 0.0
    ready: float = 0.0
    running: int = 0
    held: int = 0
    served: int = 0

    @property
    def period(self) -> float:
        """s; of a camera without a rate its own interval."""
        return 1 / self.rate if self.rate else self.rhythm.interval

    @property
    def release(self) -> float | None:
        """From when on it may be served, s; None while there is no picture.

        A picture that comes within half of an interval round the due time is taken at once. One that came before waits
        until the next has had its time to come, jitter included: where pictures lie half an interval from the due
        time, an old one would be taken else just before the new one. Asked for each camera whenever anything happens,
        and therefore in one piece.
        """
        if self.fresh is None or not self.rate:
            return self.fresh
        tolerance = min(self.rhythm.interval, 1 / self.rate) / 2
        return self.fresh if self.rhythm.phase >= self.due - tolerance else self.due + (1 + 4 * JITTER) * tolerance

    @property
    def deadline(self) -> float:
        """Until when it should be served, s."""
        assert self.fresh is not None
        return (self.due if self.rate else self.fresh) + self.period

    @property
    def longest(self) -> float:
        """What a look takes, s, as good as always; at most twice what it takes on average, or some never would fit in
        between those of a camera that goes first.
        """
        return self.cost + min(DEVIATIONS * self.spread, self.cost) if self.cost else FIRST_COST

    def comes_within(self, now: float, seconds: float) -> bool:
        """Whether a picture to be served is expected within so long, s, or is late by no more than it may."""
        if self.running or self.held:
            return False
        begin, end = self.rhythm.expected(self.due if self.rate else None)
        return begin < now + seconds and now < end

    def note_cost(self, seconds: float) -> None:
        """So long a look took, s. The first one does not count: memory and code are made ready in it."""
        if self.served == 1:
            return
        if self.cost:
            seconds = min(seconds, DEAREST * self.cost)
            self.spread += (abs(seconds - self.cost) - self.spread) * SMOOTHING
        self.cost += (seconds - self.cost) * (SMOOTHING if self.cost else 1)


@dataclass(frozen=True, slots=True)
class Share:
    """What a camera had of the machine. served : tickets that led to a look. cost : of one, s, smoothed.
    interval : between two pictures, s, smoothed; 0 where unknown. wanted : its newest picture waits for its turn.
    """

    rate: float | None
    weight: float
    served: int
    cost: float
    interval: float
    wanted: bool
    paused: bool


class Scheduler:
    """Hands out tickets. workers : how many may be out at a time. cores : how many of them can run at a time.

    crowded : when it was asked last for a ticket, more than one camera had a picture, for now or for its due time.
    """

    def __init__(self, workers: int, cores: int | None = None) -> None:
        self._workers = workers
        self._cores = cores or max(1, workers - 1)
        self._cameras: dict[str, _Camera] = {}
        self._tickets: list[Ticket] = []
        self.crowded = False
        self._virtual = 0.0
        self._added = 0
        self._late = float("-inf")

    def add(self, name: str, now: float, *, rate: float | None = None, weight: float = 1.0) -> None:
        """A camera. rate : how often it is to be served, Hz; None: as often as it has a picture."""
        if name in self._cameras:
            raise ValueError(f"camera {name!r} is there already")
        stagger = STAGGER * self._added % 1
        self._added += 1
        self._cameras[name] = _Camera(name, rate, weight, due=now, tag=self._virtual, stagger=stagger)

    def remove(self, name: str) -> None:
        """Forget a camera; tickets that are out count until they are given back."""
        self._cameras.pop(name, None)

    def change(self, name: str, now: float, *, rate: float | None, weight: float) -> None:
        """Another rate and weight."""
        camera = self._cameras[name]
        camera.rate, camera.weight, camera.due = rate, weight, now

    def pause(self, name: str, now: float, *, paused: bool) -> None:
        """Serve a camera no more, or again."""
        camera = self._cameras[name]
        camera.paused, camera.due = paused, max(camera.due, now)

    def spread(self, tickets: int) -> None:
        """How many tickets each camera may hold."""
        for camera in self._cameras.values():
            camera.most = tickets

    def arrive(self, name: str, now: float) -> bool:
        """A picture has come. True where a worker that waits should look again."""
        camera = self._cameras.get(name)
        if camera is None:
            return False
        first = camera.fresh is None
        could_run = not first and self._may_run(camera, now)
        if first:
            # Who had no picture saves up no claim.
            camera.tag = max(camera.tag, self._virtual)
            camera.ready = now
        camera.rhythm.note(now)
        camera.fresh = now
        # For one that waits for its turn already nothing is new to a worker.
        return first or (not could_run and self._may_run(camera, now))

    def again(self, ticket: Ticket, now: float) -> None:
        """The ticket's camera has another picture already."""
        if ticket.seat.fresh is None:
            ticket.seat.fresh = ticket.seat.ready = now

    def withdraw(self, ticket: Ticket) -> None:
        """The ticket's camera has no picture any more."""
        ticket.seat.fresh = None

    def wants(self, name: str, now: float) -> bool:
        """True where the camera should have been served by now: what it loses is lost for want of a worker."""
        camera = self._cameras.get(name)
        if camera is None or camera.fresh is None:
            return False
        release = camera.release
        return release is not None and release <= now

    def take(self, now: float) -> Ticket | None:
        """A ticket for the camera whose turn it is, or None."""
        if len(self._tickets) >= self._workers:
            return None
        waiting = self._waiting()
        ready = [camera for release, camera in waiting if release <= now]
        self.crowded = len(waiting) > 1
        if not ready:
            return None
        rated = [camera for camera in self._cameras.values() if camera.rate and not camera.paused]
        if any(now > camera.deadline for camera in ready if camera.rate or not rated):
            self._late = now
        chosen = self._by_weight(ready, now) if self.overloaded(now) else self._by_deadline(ready, rated, now)
        return None if chosen is None else self._grant(chosen, now)

    def _by_deadline(self, ready: list[_Camera], rated: list[_Camera], now: float) -> _Camera | None:
        """Whose turn it is while rates are kept: the nearest deadline; then those without, where nobody is expected."""
        if not rated:
            return min(ready, key=lambda camera: (camera.deadline, camera.tag))
        due = [camera for camera in ready if camera.rate]
        if due:
            return min(due, key=lambda camera: (camera.deadline, camera.tag))
        chosen = min(ready, key=lambda camera: (camera.tag, camera.deadline))
        waited = now - chosen.ready
        expected = sum(other.comes_within(now, chosen.longest) for other in rated)
        free = len(self._tickets) + expected < self._cores
        return chosen if free or waited > PATIENCE * chosen.longest else None

    def _by_weight(self, ready: list[_Camera], now: float) -> _Camera | None:
        """Whose turn it is under overload: who has had the least for its weight, if nobody of more is kept waiting."""

        def first_of(cameras: list[_Camera]) -> _Camera:
            return min(cameras, key=lambda camera: (camera.tag, camera.deadline))

        firsts = self._firsts()
        room = [camera for camera in ready if self._leaves_room(camera, firsts, now)]
        # Those that others make room for wait for nobody, or all would wait for each other.
        chosen = room or [camera for camera in firsts if camera in ready]
        return first_of(chosen) if chosen else None

    def give_back(self, ticket: Ticket, now: float, *, served: bool = True) -> None:
        """The work is done. served : False where there was no picture after all: the camera is still due."""
        if ticket.revoked:
            return
        camera = ticket.seat
        if ticket.held:
            camera.held -= 1
            camera.served += 1
            camera.due = max(camera.due, now)  # that it was not served meanwhile is no overload
            return
        seconds = self._charge(ticket, now)
        if served:
            camera.served += 1
            camera.note_cost(seconds)
        else:
            camera.due = ticket.due

    def hold(self, ticket: Ticket, now: float) -> None:
        """The ticket's holder waits for who takes the result, not for the machine: another may work in its place. Its
        camera has no turn until the ticket is given back.
        """
        self._charge(ticket, now)
        ticket.held = True
        ticket.seat.held += 1

    def revoke(self, ticket: Ticket, now: float) -> None:
        """Whoever holds the ticket does not come back."""
        self.give_back(ticket, now, served=False)
        ticket.revoked = True

    def _charge(self, ticket: Ticket, now: float) -> float:
        """The ticket is out no more, and its camera pays for so long, s."""
        self._tickets.remove(ticket)
        camera = ticket.seat
        camera.running -= 1
        seconds = max(now - ticket.granted, 0.0)
        camera.tag += seconds / camera.weight
        return seconds

    def wake(self, now: float) -> float | None:
        """How long until a camera that waits for its time may be served, s; None where only a call changes things."""
        if len(self._tickets) >= self._workers:
            return None
        waiting = self._waiting()
        if not waiting:
            return None
        first = min([release for release, _ in waiting])
        # What is ready and was not taken waits for a camera that goes first; that is soon over.
        return first - now if first > now else 0.005

    @property
    def tickets(self) -> tuple[Ticket, ...]:
        """Those that are out."""
        return tuple(self._tickets)

    def overloaded(self, now: float) -> bool:
        """True while deadlines are missed."""
        return now - self._late <= OVERLOAD_SECONDS

    def shares(self) -> Mapping[str, Share]:
        """What each camera had."""
        return {
            camera.name: Share(
                camera.rate, camera.weight, camera.served, camera.cost, camera.rhythm.interval,
                camera.fresh is not None, camera.paused,
            )
            for camera in self._cameras.values()
        }  # fmt: skip

    def _waiting(self) -> list[tuple[float, _Camera]]:
        """Cameras that may have a ticket from some time on, s, with that time. In one piece: it is asked for often."""
        return [
            (release, camera)
            for camera in self._cameras.values()
            if not (camera.paused or camera.held)
            and camera.running < camera.most
            and (release := camera.release) is not None
        ]

    def _may_run(self, camera: _Camera, now: float) -> bool:
        if camera.paused or camera.held or camera.running >= camera.most:
            return False
        release = camera.release
        return release is not None and release <= now

    def _grant(self, camera: _Camera, now: float) -> Ticket:
        assert camera.fresh is not None
        ticket = Ticket(camera.name, now, camera.fresh, camera.due, camera)
        self._tickets.append(ticket)
        camera.running += 1
        if camera.rate:
            # A camera that was late may catch up with one picture, not with all it missed. Due times move towards where
            # its pictures lie, at once while it is new: half-way between two of them a little jitter would decide which
            # is served. Cameras that began together are not due together again, or each would wait for all others.
            most = PULL * camera.period if camera.served >= NEW else camera.rhythm.interval / 2
            pull = min(max(camera.fresh - camera.due, -most), most)
            earlier = 0.0 if camera.served else camera.stagger * camera.period
            camera.due = max(camera.due + camera.period + pull, now) - earlier
        camera.fresh = None
        self._virtual = max(self._virtual, min(other.seat.tag for other in self._tickets))
        return ticket

    def _leaves_room(self, camera: _Camera, firsts: list[_Camera], now: float) -> bool:
        """False where one of `firsts` is served or will be before this camera would be done, and half of the cores are
        taken by others: cores share caches and memory, and a look beside it would be felt. Of two cores it has both.
        """
        for other in firsts:
            beside = len(self._tickets) - other.running
            if other is camera or beside < self._cores // 2 - 1:
                continue
            if other.running or other.comes_within(now, camera.longest):
                return False
        return True

    def _firsts(self) -> list[_Camera]:
        """The cameras that others wait for: of outstanding weight, and modest for it.

        While the machine empties for such a camera, what is out ends bit by bit: half a ticket is lost, on average.
        At least half of the time is left to the others, whatever its weight.
        """
        cameras = self._cameras.values()
        least = min(camera.weight for camera in cameras)
        heavy = [camera for camera in cameras if camera.weight >= OUTSTANDING * least and not camera.paused]
        if not heavy:
            return []
        dearest = max(camera.cost for camera in cameras)
        whole = sum(camera.weight for camera in cameras)
        return [
            camera
            for camera in heavy
            if camera.cost
            and camera.period > 0
            and (camera.cost + dearest / 2) / camera.period <= camera.weight / whole
            and camera.cost + dearest + (JITTER + LATENESS) * camera.rhythm.interval <= camera.period / 2
        ]
