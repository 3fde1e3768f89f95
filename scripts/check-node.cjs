// Every npm script runs this first: one sentence, and a failure, when the Node that would run the script is too old.
// Plain JavaScript, because the Node that it refuses has to be able to read it.
"use strict"

const floor = require("../package.json").engines.node.replace(/[^\d.]/g, "")
const found = process.versions.node

if (isOlder(found.split("."), floor.split("."))) {
  console.error("This is Node " + found + "; Chela needs " + floor + " or newer. Run `npm ci`, which brings one along, and try again.")
  process.exit(1)
}

function isOlder(a, b) {
  for (let i = 0; i < 3; i++) {
    if (a[i] !== b[i]) return Number(a[i]) < Number(b[i])
  }
  return false
}
