"""Random programs of users and faults, played in worlds, each compared with a small model of what has to come out.

``python -m sioproto.testing.swarm --seeds 10000`` plays one program for each seed. A program that fails is shown with
its seed, and with as few of its steps as still make it fail.
"""

from sioproto.testing.swarm.minimising import minimise
from sioproto.testing.swarm.playing import Play, Surprise, play
from sioproto.testing.swarm.program import Program, Step, draw

__all__ = ["Play", "Program", "Step", "Surprise", "draw", "minimise", "play"]
