// ws on node.js, with its accelerator bufferutil when that is installed.
const fs = require("fs");
const http = require(process.env.BENCH_TLS ? "https" : "http");
const { WebSocketServer } = require("ws");

const read = (name) => fs.readFileSync(`${process.env.BENCH_FOLDER}/${name}.pem`);
const secret = process.env.BENCH_TLS ? { cert: read("cert"), key: read("key") } : {};
const listener = http.createServer(secret).listen(Number(process.argv[2]), "127.0.0.1");
const server = new WebSocketServer({
  server: listener,
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
