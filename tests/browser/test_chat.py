"""The chat example, from the server's first line to the last pixel: its page in Chromium, with people who use it.

Every test has a server of its own, started as anybody would start it. Whatever the browsers report as an error fails
the test, and so does what the server reports.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Literal

import pytest

try:
    from playwright.sync_api import expect, sync_playwright

    from tests.browser.driver import ARGUMENTS, PATIENCE, ChatServer, Guest, png
except ImportError:
    pass  # The fixture `chromium` says so, and skips or fails what is below.

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.peers import Node

    Arrive = Callable[..., Guest]


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """One Chromium for all. Not longer than this module: playwright's event loop runs in the meantime."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE * 1000)
        browser = playwright.chromium.launch(executable_path=str(chromium), args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def server(node: Node, tmp_path: Path) -> Iterator[ChatServer]:
    """The example, with the client that the JavaScript peers brought along."""
    client = node.folder / "node_modules" / "socket.io-client" / "dist" / "socket.io.min.js"
    server = ChatServer(client, tmp_path / "server.log")
    try:
        server.start()
        yield server
    finally:
        server.close()
    assert not re.search(r"error|exception|traceback|warning", server.said, re.IGNORECASE), server.said


@pytest.fixture
def arrive(browser: Browser, server: ChatServer) -> Iterator[Arrive]:
    """Opens the page for somebody: `arrive("Ada")`, or `arrive()` to stay before the door."""
    guests: list[Guest] = []

    def arrive(name: str = "", **how: bool) -> Guest:
        guest = Guest(browser, server, **how)
        guests.append(guest)
        return guest.join(name) if name else guest

    yield arrive
    for guest in guests:
        guest.close()
    assert [guest.errors for guest in guests] == [[]] * len(guests)


# -- people


def test_two_people_see_each_other(arrive: Arrive) -> None:
    ada = arrive("Ada")
    ada.sees_people("Ada")
    ben = arrive("Ben")
    ada.sees_people("Ada", "Ben")
    ben.sees_people("Ben", "Ada")
    expect(ada.get("notice")).to_contain_text(["Ben joined"])
    expect(ada.get("conversation-title")).to_have_text("#lobby")


def test_a_taken_name_is_refused(arrive: Arrive) -> None:
    ada, ben = arrive("Ada"), arrive()
    ben.ask_in("ada")
    ben.is_refused("already called Ada")
    expect(ben.get("my-name")).to_be_hidden()
    ada.sees_people("Ada")
    ben.ask_in("?!")
    ben.is_refused("consists of letters")
    ben.ask_in("")
    ben.is_refused("Please enter a name.")
    ben.join("Ben")
    ada.sees_people("Ada", "Ben")


def test_leaving_is_seen(arrive: Arrive) -> None:
    ada, ben, cleo = arrive("Ada"), arrive("Ben"), arrive("Cleo")
    ada.sees_people("Ada", "Ben", "Cleo")
    ben.get("quit-button").click()
    expect(ben.get("name-input")).to_be_focused()
    ada.sees_people("Ada", "Cleo")
    expect(ada.get("notice").last).to_contain_text("Ben left")
    cleo.close()
    ada.sees_people("Ada")
    expect(ada.get("notice").last).to_contain_text("Cleo left")
    ben.join("Cleo")
    ada.sees_people("Ada", "Cleo")


# -- what they say


def test_text_both_ways(arrive: Arrive) -> None:
    ada, ben = arrive("Ada"), arrive("Ben")
    ada.say("Hello Ben")
    ben.hears("Ada", "Hello Ben")
    ben.say("Hello Ada")
    ada.hears("Ben", "Hello Ada")
    # Both have been answered over their WebSockets by now: what may be dropped on the way is not.
    ben.get("message-input").press_sequentially("How")
    expect(ada.get("typing")).to_have_text("Ben is typing…")
    expect(ada.place("person", "Ben")).to_have_attribute("data-typing", "true")
    ben.get("message-input").press("Enter")
    ada.hears("Ben", "How")
    expect(ada.get("typing")).to_be_empty()
    markup = '<img src="x" onerror="throw 1"> & ünï©ødé 🎈'
    ada.say(markup)
    expect(ben.hears("Ada", markup).locator(".bubble img")).to_have_count(0)


def test_rooms_keep_what_is_said_in_them(arrive: Arrive) -> None:
    ada, ben, cleo = arrive("Ada"), arrive("Ben"), arrive("Cleo")
    ada.make_room("boats")
    for other in (ben, cleo):
        expect(other.place("room", "boats")).to_have_attribute("data-joined", "false")
    ada.say("first on board")
    ben.open("room", "boats")
    ben.hears("Ada", "first on board")
    ben.sees_people("Ben", "Ada")
    ada.sees_people("Ada", "Ben")
    ben.say("ahoy")
    ada.hears("Ben", "ahoy")
    ada.open("room", "lobby")
    ada.say("back on land")
    expect(ada.row("ahoy")).to_have_count(0)
    cleo.hears("Ada", "back on land")
    expect(cleo.get("message")).to_have_count(1)
    # In the other room this counts as unread, and is shown once one goes there.
    unread = ben.place("room", "lobby").locator(".badge")
    expect(unread).to_have_text("1")
    expect(ben.get("message")).to_have_count(2)
    ben.page.reload()
    ben.is_("connected")
    expect(ben.get("conversation-title")).to_have_text("#boats")
    ben.hears("Ada", "first on board")
    ben.get("leave-button").click()
    expect(ben.get("conversation-title")).to_have_text("#lobby")
    ben.hears("Ada", "back on land")
    ada.open("room", "boats")
    ada.sees_people("Ada")


def test_private_messages_are_private(arrive: Arrive) -> None:
    ada, ben, cleo = arrive("Ada"), arrive("Ben"), arrive("Cleo")
    ada.sees_people("Ada", "Ben", "Cleo")
    [wire] = cleo.websockets
    frames: list[str | bytes] = []
    wire.on("framereceived", lambda frame: frames.append(frame))
    ada.open("person", "Ben")
    row = ada.say("between us")
    expect(row).to_have_attribute("data-private", "true")
    expect(ben.place("private", "Ada").locator(".badge")).to_have_text("1")
    ben.open("private", "Ada")
    expect(ben.hears("Ada", "between us")).to_have_attribute("data-private", "true")
    ben.say("indeed")
    ada.hears("Ben", "indeed")
    ada.open("room", "lobby")
    # What Ada says after it comes to Cleo after it: had there been more, it would be there.
    with wire.expect_event("framereceived", lambda frame: "to everybody" in str(frame)):
        ada.say("to everybody")
    cleo.hears("Ada", "to everybody")
    expect(cleo.get("message")).to_have_count(1)
    expect(cleo.get("private")).to_have_count(0)
    assert not [frame for frame in frames if "between us" in str(frame) or "indeed" in str(frame)]


def test_a_picture_arrives(arrive: Arrive) -> None:
    ada, ben = arrive("Ada"), arrive("Ben")
    picture = png(480, 300)
    ada.attach(picture)
    # As bytes of their own, the very same, on both ways.
    [sends], [gets] = ada.websockets, ben.websockets
    with (
        sends.expect_event("framesent", lambda frame: frame == picture),
        gets.expect_event("framereceived", lambda frame: frame == picture),
    ):
        ada.get("send-button").click()
    for guest in (ada, ben):
        row = guest.get("message")
        expect(row).to_have_count(1)
        expect(row).to_have_attribute("data-kind", "picture")
        expect(row).to_have_attribute("data-from", "Ada")
        expect(row).to_have_attribute("data-state", "delivered")
        image = row.locator(".bubble img")
        expect(image).to_have_js_property("naturalWidth", 480)
        expect(image).to_have_js_property("naturalHeight", 300)
    assert image.evaluate(PIXEL) == [0xE8, 0x8A, 0x2E, 255]
    expect(ada.get("attachment")).to_be_hidden()
    image.click()
    viewer = ben.page.get_by_role("dialog")
    expect(viewer.locator("img")).to_have_js_property("naturalWidth", 480)
    ben.page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()


PIXEL = """(image) => {
  const context = document.createElement("canvas").getContext("2d");
  context.drawImage(image, 0, 0);
  return [...context.getImageData(0, 0, 1, 1).data];
}"""


# -- the connection


def test_the_connection_becomes_a_websocket(arrive: Arrive) -> None:
    ada = arrive("Ada")
    [wire] = ada.websockets
    assert "transport=websocket" in wire.url
    with (
        wire.expect_event("framesent", lambda frame: "over the wire" in str(frame)),
        wire.expect_event("framereceived", lambda frame: '"ok":true' in str(frame)),
    ):
        ada.say("over the wire")


def test_it_works_without_websockets(arrive: Arrive) -> None:
    ada, ben = arrive("Ada", websocket=False), arrive("Ben")
    with ada.page.expect_request(lambda request: request.method == "POST" and "transport=polling" in request.url):
        ada.say("the long way")
    ben.hears("Ada", "the long way")
    ben.say("the short way")
    ada.hears("Ben", "the short way")
    picture = png(64, 40)
    for sender in (ada, ben):
        sender.attach(picture)
        sender.get("send-button").click()
    for guest in (ada, ben):
        for name in ("Ada", "Ben"):
            row = guest.page.locator(f'[data-testid="message"][data-kind="picture"][data-from="{name}"]')
            expect(row.locator(".bubble img")).to_have_js_property("naturalWidth", 64)
            expect(row).to_have_attribute("data-state", "delivered")
    ada.is_("connected")
    assert not ada.websockets
    expect(ada.page.locator("html")).not_to_have_attribute("data-transport", "websocket")


def test_a_killed_server_comes_back(arrive: Arrive, server: ChatServer) -> None:
    ada, ben = arrive("Ada"), arrive("Ben")
    ada.make_room("boats")
    ben.open("room", "boats")
    ada.say("before")
    ben.hears("Ada", "before")
    server.kill()
    for guest in (ada, ben):
        guest.is_("reconnecting")
        expect(guest.get("connection-banner")).to_be_visible()
    waiting = ada.write("meanwhile")
    expect(waiting).to_have_attribute("data-state", "sending")
    expect(ben.row("meanwhile")).to_have_count(0)
    server.start()
    for guest, other in ((ada, "Ben"), (ben, "Ada")):
        guest.is_("connected")
        expect(guest.get("connection-banner")).to_be_hidden()
        expect(guest.get("conversation-title")).to_have_text("#boats")
        guest.sees_people(*(["Ada", other] if guest is ada else ["Ben", other]))
    expect(waiting).to_have_attribute("data-state", "delivered")
    ben.hears("Ada", "meanwhile")
    ben.hears("Ada", "before")
    ben.say("welcome back")
    ada.hears("Ben", "welcome back")
    expect(ada.get("message")).to_have_count(3)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGTERM")
def test_a_terminated_server_ends_well(arrive: Arrive, server: ChatServer) -> None:
    ada, ben = arrive("Ada"), arrive("Ben", websocket=False)
    ada.say("the last word")
    ben.hears("Ada", "the last word")
    assert server.terminate() == 0
    for guest in (ada, ben):
        guest.is_("reconnecting")
    server.start()
    for guest in (ada, ben):
        guest.is_("connected")
    ada.sees_people("Ada", "Ben")
    ben.say("and on we go")
    ada.hears("Ben", "and on we go")


# -- ways of using it


def test_the_keyboard_is_enough(arrive: Arrive) -> None:
    ada, ben = arrive("Ada"), arrive()
    press = ben.page.keyboard.press
    press("Tab")
    expect(ben.get("name-input")).to_be_focused()
    ben.page.keyboard.type("Ben")
    press("Tab")
    expect(ben.get("join-button")).to_be_focused()
    press("Enter")
    expect(ben.get("message-input")).to_be_focused()
    ben.page.keyboard.type("typed")
    press("Enter")
    ada.hears("Ben", "typed")
    expect(ben.row("typed")).to_have_attribute("data-state", "delivered")
    expect(ben.get("message-input")).to_be_focused()
    ben.page.keyboard.type("one line")
    press("Shift+Enter")
    ben.page.keyboard.type("and another")
    press("Tab")
    expect(ben.get("send-button")).to_be_focused()
    press("Enter")
    expect(ada.get("message").last.locator(".text")).to_have_text(re.compile(r"^one line\s+and another$"))
    expect(ben.get("message-input")).to_be_focused()
    # Once around: everything else is within reach of the same key.
    reached = []
    for _ in range(30):
        press("Tab")
        reached.append(ben.page.evaluate("document.activeElement.dataset.testid ?? document.activeElement.className"))
    for stop in ("skip", "place", "new-room-input", "new-room-button", "quit-button", "picture-button", "person"):
        assert stop in reached


def test_a_phone(arrive: Arrive) -> None:
    ada, ben = arrive("Ada"), arrive("Ben", phone=True)
    sidebar, people = (ben.page.locator(name) for name in ("#sidebar", "#people"))
    for drawer in (sidebar, people):
        expect(drawer).not_to_be_in_viewport()
    fits(ben)
    ben.get("open-rooms").tap()
    expect(sidebar).to_be_in_viewport(ratio=0.99)
    expect(people).not_to_be_in_viewport()
    ben.get("new-room-input").fill("boats")
    ben.get("new-room-button").tap()
    expect(ben.get("conversation-title")).to_have_text("#boats")
    expect(sidebar).not_to_be_in_viewport()
    ben.get("open-rooms").tap()
    ben.page.keyboard.press("Escape")
    expect(sidebar).not_to_be_in_viewport()
    expect(ben.get("open-rooms")).to_be_focused()
    ben.get("open-rooms").tap()
    ben.place("room", "lobby").get_by_role("button").tap()
    expect(sidebar).not_to_be_in_viewport()
    ben.get("open-people").tap()
    expect(people).to_be_in_viewport(ratio=0.99)
    ben.page.locator("#shade").tap(position={"x": 20, "y": 400})
    expect(people).not_to_be_in_viewport()
    ben.get("open-people").tap()
    ben.place("person", "Ada").get_by_role("button").tap()
    expect(ben.get("conversation-title")).to_have_text("Ada")
    expect(people).not_to_be_in_viewport()
    ben.say("from the road")
    ada.open("private", "Ben")
    ada.hears("Ben", "from the road")
    fits(ben)


def fits(guest: Guest) -> None:
    """Nothing is wider than the screen, and the box to write in is on it."""
    assert guest.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(guest.get("send-button")).to_be_in_viewport(ratio=1)


def test_for_the_eye(arrive: Arrive, server: ChatServer, artefacts: Path) -> None:
    """Screenshots of a chat going on, for people to look at."""
    ada, ben = arrive("Ada"), arrive("Ben", phone=True)
    door, little_door = arrive(), arrive(phone=True)
    for guest, size in ((door, "desktop"), (little_door, "phone")):
        if guest is door:
            guest.ask_in("Ada")
            guest.is_refused("already called Ada")
        show(guest, artefacts, f"entrance-{size}")
    cleo = arrive("Cleo Ångström")
    ada.say("Good morning! Who has seen the harbour today?")
    ben.hears("Ada", "Good morning! Who has seen the harbour today?")
    ben.say("I have. There is a new boat in, a tall one, with the flags of half the world on it.")
    ben.say("Its crew is at https://example.org/crew, if you want to read on")
    ben.attach(png(480, 300))
    ben.get("send-button").click()
    shown = ada.page.locator('[data-kind="picture"] img')
    expect(shown).to_have_js_property("naturalWidth", 480)
    ada.say("Oh, lovely 🎈")
    cleo.hears("Ada", "Oh, lovely 🎈")
    cleo.make_room("boats")
    cleo.open("room", "lobby")
    cleo.open("person", "Ada")
    cleo.say("Coming along?")
    expect(ada.place("private", "Cleo Ångström")).to_be_visible()
    ben.hears("Ada", "Oh, lovely 🎈")
    for guest, size in ((ada, "desktop"), (ben, "phone")):
        show(guest, artefacts, f"talk-{size}")
    ben.get("open-rooms").tap()
    show(ben, artefacts, "rooms-phone")
    ben.page.keyboard.press("Escape")
    ben.get("open-people").tap()
    show(ben, artefacts, "people-phone")
    ben.page.keyboard.press("Escape")
    ada.open("private", "Cleo Ångström")
    ada.attach(png(480, 300))
    show(ada, artefacts, "private-desktop")
    server.kill()
    for guest, size in ((ada, "desktop"), (ben, "phone")):
        guest.is_("reconnecting")
        guest.write("Is anybody there?")
        show(guest, artefacts, f"reconnecting-{size}")


def show(guest: Guest, folder: Path, name: str) -> None:
    """Takes a picture of the page by day and one by night."""
    for scheme in SCHEMES:
        guest.page.emulate_media(color_scheme=scheme)
        path = folder / f"chat-{name}-{scheme}.png"
        guest.page.screenshot(path=path, animations="disabled")
        assert path.stat().st_size > 5_000


SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
