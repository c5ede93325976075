"""The project's own benchmark: what a message costs this server, beside python-socketio and Node's socket.io.

``python -m tests.bench`` runs all of it, ``python -m tests.bench --help`` says what can be chosen.
``python -m tests.bench.micro`` times the pieces without a socket, ``python -m tests.bench.world`` counts what a world
of tests delivers. It takes ``pip install -e ".[bench]"``; Node.js with its packages is found, and these installed,
where the ``test`` extra is there, too. Linux and macOS only.

**What is compared.** The same small application, written as a user of each library would, in ``servers/``: an echo
whose result is the acknowledgement, joining a room, a broadcast to it. Compression is off everywhere, nothing is
logged, cross-origin rules are the default ones, and python-socketio runs on uvicorn with h11, wsproto and asyncio's own
loop, which are our own parsers and loop.

**How.** Each measurement has a fresh server process and a load generator process, each on a core of its own where the
system can pin them. Servers take turns in rounds, in reverse order every other round, so that what slows the machine
down for a while hits all alike. A ratio is taken inside one round; the table shows the median of these, and each.

**The figure** is CPU seconds of the server's processes, user and system together, for each message. It depends much
less than a rate on how fast the load generator is and on who else uses the machine, so rates are shown but not
compared. It is not free of either: costs for each message fall as load rises, since more is done at once, and others
who share the cores leave cold caches behind. Notes say where a server was not busy, where the generator was the
bottleneck, and for how long others held the cores. Where rounds disagree much, believe none of them.

**The load generator** is plain Python with the standard library, so that this runs wherever the library runs. It is
slower than one in C; what it must not be is wrong. It checks each acknowledgement against what was sent, and that each
member of a room gets each broadcast exactly once; a missing, wrong, repeated or unexpected message fails the row.
What the kernel does to deliver a message locally is charged to its sender.

**What it does not say.** Nothing about latency, TLS, networks, several processes, or handlers that do some work.
"""
