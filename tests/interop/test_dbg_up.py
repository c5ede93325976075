import asyncio, time, pytest
from tests.interop.stock import serving_stock
@pytest.mark.parametrize("i", range(30))
async def test_x(stock, i):
    async with serving_stock() as live:
        slog = []
        @live.io.of("/a").on("leave")
        def leave(socket):
            slog.append(("leave", socket.conn.writable))
            socket.emit("last", "words")
            socket.disconnect(close=True)
            slog.append((socket.conn.state, [f.payload for f in socket.conn.outbox]))
        live.io.of("/b")
        live.io.of("/a").on("connection", lambda s: s.conn.on("close", lambda r: slog.append(("closed", r))))
        log = (await stock("""
            const log = [];
            const t0 = Date.now();
            const transports = ["polling"];
            const [a, b] = [io(url + "/a", { transports }), io(url + "/b", { transports })];
            await Promise.all([opened(a), opened(b)]);
            for (const s of [a,b]) { s.on("last", () => log.push("last")); s.on("disconnect", (r) => log.push([s.nsp, r])); }
            a.io.engine.on("close", (r) => log.push(["close", r]));
            a.io.engine.on("packet", (r) => log.push([r.type, `${r.data}`]));
            a.io.engine.on("error", (r) => log.push([`${r}`]));
            const end = next(b, "disconnect");
            a.emit("leave");
            await Promise.race([end, sleep(1000)]);
            log.push(a.io.engine.readyState);
            return log;
        """, url=live.url))
        if log[-1] != "closed": print(i, log, slog, live.io.engine.sessions)
