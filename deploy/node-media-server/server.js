// Node-Media-Server with edge-gate beside it: node server.js config.json
// Why this file and not the package's own bin/app.js: see "Traps" in README.md beside it.

const fs = require("node:fs");
const path = require("node:path");
const NodeMediaServer = require("node-media-server");

const file = path.resolve(process.argv[2] ?? path.join(__dirname, "config.json"));
const config = JSON.parse(fs.readFileSync(file, "utf8"));
const server = new NodeMediaServer(config, file);

// The package's close() only says goodbye: an RTMP client that does not hang up goes on publishing.
server.on("prePublish", (session) => {
  session.close = () => (session.socket ?? session.req.socket).destroy();
});

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => server.stop().finally(() => process.exit(0)));
}
server.run();
