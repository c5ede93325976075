"""One WebSocket as the core sees it: whole messages in, frames and a close out.

A link knows nothing of handshakes, masks or fragments; those belong to its owner. It is the *carrier* of a session
once the session runs over WebSocket, or a candidate while an upgrade is being probed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sioproto.frame import Frame


class Link:
    """A WebSocket that was accepted, on either side of it.

    Its owner calls ``receive_messages`` and ``receive_link_closed`` of the engine, sets ``blocked`` through
    ``receive_blocked``/``receive_unblocked`` when its transport refuses or takes data again, and after each
    ``take_dirty()`` that lists the link sends ``take()``, stops or resumes reading as ``reading`` says, and closes the
    WebSocket when ``closing`` is true. ``close_code`` is None for a close frame without a code.
    """

    __slots__ = ("blocked", "close_code", "closing", "dirty", "frames", "owner", "reading", "session")

    def __init__(self, session: Any, owner: object = None) -> None:
        self.session: Any = session
        """Whose it is: a server's ``Session`` or an ``EngineClient``; None when they are done with each other."""
        self.owner = owner
        self.frames: list[Frame] = []
        self.dirty = False
        self.blocked = False
        self.reading = True
        self.closing = False
        self.close_code: int | None = None

    def take(self) -> list[Frame]:
        """Returns the frames to send now, in order, and forgets them."""
        self.dirty = False
        frames = self.frames
        if frames:
            self.frames = []
        return frames

    def close(self, code: int | None = None) -> None:
        """Closes the WebSocket once its frames are sent."""
        if not self.closing:
            self.closing = True
            self.close_code = code
