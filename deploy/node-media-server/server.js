// Node-Media-Server with edge-gate beside it: node server.js config.json
// Why this file and not the package's own bin/app.js: see docs/integrate/node-media-server.md.

const fs = require("node:fs");
const path = require("node:path");
const NodeMediaServer = require("node-media-server");

const file = path.resolve(process.argv[2] ?? path.join(__dirname, "config.json"));
const config = JSON.parse(fs.readFileSync(file, "utf8"));
const server = new NodeMediaServer(config, file);

// The package's close() only sends a message. An RTMP client that ignores it keeps publishing, so the
// socket is destroyed.
server.on("prePublish", (session) => {
  session.close = () => (session.socket ?? session.req.socket).destroy();
});

// The package asks once and admits the publisher without an answer. A stream that began while the gate was
// down would never be watched. This code asks until the gate answers. With notify.denyAfterMs it closes a
// publisher that stays without an answer.
const tell = server.notifyServer.notify.bind(server.notifyServer);
server.notifyServer.notify = (action, session) => (action === "prePublish" ? ask(session) : tell(action, session));

async function ask(session) {
  const { url, retryMs = 1000, timeoutMs = 10_000, denyAfterMs = 0 } = config.notify;
  const since = Date.now();
  while (!(session.socket ?? session.req.socket).destroyed) {
    try {
      const answer = await fetch(url, {
        method: "POST",
        body: JSON.stringify({
          id: session.id,
          ip: session.ip,
          app: session.streamApp,
          name: session.streamName,
          query: session.streamQuery,
          protocol: session.protocol,
          createtime: session.createTime,
          action: "prePublish",
        }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (answer.status !== 200) {
        session.close();
      }
      return;
    } catch {
      if (denyAfterMs && Date.now() - since >= denyAfterMs) {
        session.close();
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => server.stop().finally(() => process.exit(0)));
}
server.run();
