"""Installing: tokens, classes, instances, option sets, plugins; conflicts; hooks."""

from __future__ import annotations

from typing import Any

import pytest
from wsext_deflate import PermessageDeflate

from tests.extensions import Append, Reverse, claiming
from wsext import (
    RSV,
    App,
    Extension,
    ExtensionConflict,
    Frame,
    Interceptor,
    MessageCodec,
    NamedOptionSet,
    OptionError,
    OptionSet,
    PluginError,
    Session,
    hookimpl,
    option_set,
    testing,
)
from wsext.sdk.installed import Installed, build


def test_four_ways_to_install_go_through_the_same_options() -> None:
    for install in (
        lambda app: app.install("permessage-deflate", level=3),
        lambda app: app.install(PermessageDeflate, level=3),
        lambda app: app.install(PermessageDeflate(level=3)),
        lambda app: app.install(PermessageDeflate(), level=3),
    ):
        app = App()
        install(app)
        (item,) = app.installed.extensions
        assert item.options.level == 3
        with pytest.raises(OptionError, match=r"permessage-deflate: level.*0 to 9"):
            App().install("permessage-deflate", level=12)
        with pytest.raises(OptionError, match="did you mean 'level'"):
            App().install("permessage-deflate", levle=1)


def test_nothing_is_installed_twice() -> None:
    app = App()
    app.install(Append)
    with pytest.raises(PluginError, match="installed already"):
        app.install(Append)


def test_an_option_set_configures_extensions_and_sessions() -> None:
    app = App()
    app.install(option_set("low-memory"))
    (item,) = app.installed.extensions
    assert item.options.server_max_window_bits == 10
    assert app.options.max_message_size == 256 * 1024
    app.install("permessage-deflate", level=1)  # refines what the set has said
    (item,) = app.installed.extensions
    assert (item.options.level, item.options.server_max_window_bits) == (1, 10)


def test_an_option_set_over_an_installed_extension_changes_only_what_it_names() -> None:
    app = App()
    app.install("permessage-deflate", strategy="rle")
    app.install(option_set("low-latency"))
    (item,) = app.installed.extensions
    assert (item.options.strategy, item.options.level) == ("rle", 1)


def test_configure_and_uninstall() -> None:
    app = App()
    app.configure("permessage-deflate", level=2)
    app.configure("permessage-deflate", threshold=9)
    (item,) = app.installed.extensions
    assert (item.options.level, item.options.threshold) == (2, 9)
    app.uninstall("permessage-deflate")
    app.uninstall("permessage-deflate")
    assert app.installed.extensions == ()


@pytest.mark.parametrize("bit", [RSV.RSV1, RSV.RSV2, RSV.RSV3])
def test_two_extensions_that_always_collide_are_reported_with_both_names(
    bit: RSV, caplog: pytest.LogCaptureFixture
) -> None:
    installed = Installed()
    installed.install(claiming("x-one", bit))
    with caplog.at_level("DEBUG"):
        installed.install(claiming("x-two", bit))
    assert installed.conflicts == [("x-one", "x-two", bit.name)]
    assert "x-one" in caplog.text
    assert "x-two" in caplog.text


def test_a_collision_is_logged_once_however_often_a_client_connects(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("DEBUG"):
        for _ in range(3):
            installed = build([claiming("x-often", RSV.RSV1), claiming("x-again", RSV.RSV1)])
            assert installed.conflicts == [("x-often", "x-again", "RSV1")]
    assert [record.getMessage() for record in caplog.records] == [
        "x-often and x-again both claim RSV1: a session agrees on at most one of them"
    ]


def test_two_required_extensions_that_collide_are_refused() -> None:
    installed = Installed()
    installed.install(claiming("x-one", RSV.RSV2), required=True)
    with pytest.raises(ExtensionConflict, match="x-one") as caught:
        installed.install(claiming("x-two", RSV.RSV2), required=True)
    assert (caught.value.first, caught.value.second) == ("x-one", "x-two")
    assert caught.value.what == "RSV2"


@pytest.mark.parametrize("codec", [MessageCodec, MessageCodec()])
def test_a_codec_is_no_extension(codec: Any) -> None:
    with pytest.raises(PluginError, match=r"'MessageCodec': is a codec: install the Extension"):
        App().install(codec, level=1)


@pytest.mark.parametrize("argument", ["extensions", "subprotocols"])
def test_a_text_is_no_list_of_a_route(argument: str) -> None:
    given: Any = {argument: "x-append"}
    with pytest.raises(OptionError, match=rf"{argument}: expected a list, got 'x-append'"):
        App().websocket("/", **given)


def test_only_wire_extensions_can_be_required() -> None:
    with pytest.raises(OptionError, match="wire extension"):
        App().install(Mark, required=True)


# --- route subsets ----------------------------------------------------------------------------


class Mark(Interceptor):
    """Appends its mark to what is sent."""

    name = "mark"

    class Options(OptionSet):
        """Its mark."""

        mark: str = "!"

    @hookimpl
    def wsext_frame_sending(self, session: Session, frame: Frame) -> Frame | None:
        if frame.is_control:
            return None
        return frame.replace(payload=bytes(frame.payload) + self.options.mark.encode())


class Watcher:
    """Any other plugin with hooks."""

    @hookimpl
    def wsext_session_opened(self, session: Session) -> None: ...


async def say(session: Session) -> None:
    await session.send("x")


async def heard(app: App, path: str) -> str | bytes:
    async with testing.connect(app, path) as client:
        return await client.receive()


async def test_an_interceptor_of_one_route_stays_there() -> None:
    app = App()
    app.install(Watcher())
    app.websocket("/marked", extensions=[Mark()])(say)
    app.websocket("/plain")(say)
    app.prepare()
    assert await heard(app, "/marked") == "x!"
    assert await heard(app, "/plain") == "x"


async def test_two_routes_may_have_one_interceptor() -> None:
    app = App()
    app.install(Watcher())
    app.websocket("/one", extensions=[Mark()])(say)
    app.websocket("/two", extensions=[Mark(mark="?")])(say)
    app.prepare()
    assert await heard(app, "/one") == "x!"
    assert await heard(app, "/two") == "x?"


async def test_something_may_be_installed_after_the_start() -> None:
    app = App()
    app.install(Watcher())
    app.websocket("/marked", extensions=[Mark()])(say)
    app.websocket("/plain")(say)
    app.prepare()
    app.install(Append)
    app.prepare()
    assert await heard(app, "/marked") == "x!"
    assert [item.name for item in app.profile(app.routes[1])[1].extensions] == [Append.name]


async def test_a_route_may_have_the_apps_interceptor_with_other_options() -> None:
    app = App()
    app.install(Mark())
    app.websocket("/app")(say)
    app.websocket("/own", extensions=[Mark(mark="?")])(say)
    assert await heard(app, "/app") == "x!"
    assert await heard(app, "/own") == "x?"


def test_a_subset_keeps_the_order_and_hooks_of_what_stays() -> None:
    class Hooked(Extension):
        """A wire extension with a hook of its own."""

        name = "x-hooked"

        @hookimpl
        def wsext_not_ready(self) -> str:
            return "hooked"

    installed = Installed()
    first, second = Append(), Reverse()
    for what in (first, Hooked(), second, Mark()):
        installed.install(what)
    part = installed.subset([second.name, first.name])
    assert part.extensions == (second, first)
    assert part.not_ready() is None
    assert installed.not_ready() == "hooked"
    assert installed.subset(["x-hooked"]).not_ready() == "hooked"
    assert installed.subset(False).items == (installed.items[-1],)


def test_an_option_set_that_does_not_fit_is_named() -> None:
    named = NamedOptionSet("mine", "for a test", {"permessage-deflate": {"level": 99}})
    words = r"permessage-deflate: level: expected .* \(source: option set mine\)"
    with pytest.raises(OptionError, match=words):
        App().install(named)
