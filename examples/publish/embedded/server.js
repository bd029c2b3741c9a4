const { createServer } = require("node:http");
const { readFileSync } = require("node:fs");

createServer((request, response) => response.end(readFileSync("index.html"))).listen(8080);
