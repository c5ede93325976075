"""One namespace at a client: connecting, leaving, coming back, and what is sent and heard meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from sioproto import ConnectError, LocalProtocolError
from sioproto.socketio import AuthAsked
from tests.byhand import error_of, hand_sockets

# -- auth


@pytest.mark.parametrize("auth", ["token", 7, ["token"]])
def test_an_auth_that_is_no_dict_may_be_corrected_or_given_up(auth: Any) -> None:
    hand = hand_sockets()
    socket = hand.core.of("/", lambda: None)
    pending = socket.connect()
    hand.settle()
    hand.open()
    (asked,) = hand.told(AuthAsked)
    with pytest.raises(LocalProtocolError, match="auth is a dict or None"):
        hand.core.answer_auth(asked.ticket, auth)
    assert hand.take() == []
    assert not pending.done
    assert hand.core.refuse_auth(asked.ticket, ConnectError("no token"))
    assert str(error_of(pending)) == "no token"
    assert hand.story()[-1] == "/ failed: no token"
