// ws on node.js, with its accelerator bufferutil when that is installed.
const { WebSocketServer } = require("ws");

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.argv[2]),
  maxPayload: 1 << 25,
  perMessageDeflate: { threshold: 0 },
});
const members = new Set();

server.on("connection", (session, request) => {
  session.on("error", () => {});
  if (request.url === "/room") {
    members.add(session);
    session.on("close", () => members.delete(session));
  } else if (request.url === "/publish") {
    session.on("message", (data, binary) => {
      for (const member of members) member.send(data, { binary });
    });
  } else {
    session.on("message", (data, binary) => session.send(data, { binary }));
  }
});
