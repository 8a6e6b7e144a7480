// Bun's own server. peer.js PORT [shared]: which of its two kinds of compressor it has.
const kind = process.argv[3] === "shared" ? "shared" : "dedicated";

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  fetch(request, server) {
    const path = new URL(request.url).pathname;
    if (!server.upgrade(request, { data: path })) return new Response("", { status: 400 });
  },
  websocket: {
    maxPayloadLength: 1 << 25,
    backpressureLimit: 0,
    idleTimeout: 0,
    perMessageDeflate: { compress: kind, decompress: kind },
    open(session) {
      if (session.data === "/room") session.subscribe("tea");
    },
    message(session, message) {
      if (session.data === "/publish") server.publish("tea", message, true);
      else session.send(message, true);
    },
  },
});
