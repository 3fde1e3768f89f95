#!/usr/bin/env node
// The command. Plain JavaScript that any Node can read, however old: on a Node that is new enough it loads the command line,
// on an older one it runs itself again with a newer Node that it finds, and only if there is none says what to type.
// It never runs a Node out of the current folder: whatever works in there could have put one there.
"use strict"

const fs = require("fs")
const os = require("os")
const path = require("path")
const url = require("url")
const about = require("../package.json")

const floor = numbers(about.engines.node)
const args = process.argv.slice(2)

if (args.length === 1 && (args[0] === "--version" || args[0] === "-v")) {
  process.stdout.write(about.version + "\n")
} else if (isEnough(process.versions.node)) {
  load()
} else {
  const node = findNode()
  if (node) runWith(node)
  else {
    process.stderr.write(noNodeText() + "\n")
    process.exitCode = 1
  }
}

/** A checkout runs its sources, a published package has none and runs what was built. */
function load() {
  const source = path.join(__dirname, "../src/cli/main.ts")
  const inCheckout = fs.existsSync(source)
  const entry = inCheckout ? source : path.join(__dirname, "../dist/cli.js")
  const hostCommand = [process.execPath, __filename, "host"]
  import(url.pathToFileURL(entry).href)
    .then((cli) => cli.main({ process: process, version: about.version, hostCommand: hostCommand }))
    .then((code) => {
      process.exitCode = code
    })
    .catch((error) => {
      const notInstalled = inCheckout && error.code === "ERR_MODULE_NOT_FOUND" && /package/.test(error.message)
      process.stderr.write((notInstalled ? notInstalledText() : error.stack) + "\n")
      process.exitCode = 1
    })
}

/** Absolute path of a Node that is new enough, or null. */
function findNode() {
  const { spawnSync } = require("child_process")
  const tried = {}
  return candidates().find((file) => {
    if (tried[file] || !fs.existsSync(file)) return false
    tried[file] = true
    const said = spawnSync(file, ["--version"], { encoding: "utf8", timeout: 5000, stdio: ["ignore", "pipe", "ignore"] })
    return said.status === 0 && isEnough(said.stdout)
  })
}

/** Nearest first: what was installed with this package, PATH, the usual places, version managers (newest first). */
function candidates() {
  const env = process.env
  const home = os.homedir()
  const windows = process.platform === "win32"
  const exe = windows ? "node.exe" : "node"
  const own = [path.join(__dirname, "../node_modules/.bin"), path.join(__dirname, "../../.bin"), path.join(__dirname, "../../node/bin")]
  const onPath = (env.PATH || "").split(path.delimiter).filter((folder) => path.isAbsolute(folder) && !isFromHere(folder))
  const usual = windows
    ? [path.join(env.ProgramFiles || "C:\\Program Files", "nodejs")]
    : ["/usr/local/bin", "/opt/homebrew/bin", "/opt/homebrew/opt/node@24/bin", "/usr/bin", "/snap/bin", path.join(home, ".local/bin")]
  const data = env.XDG_DATA_HOME || path.join(home, ".local/share")
  const managed = [
    [env.NVM_DIR || path.join(home, ".nvm"), "versions/node/*/bin"],
    [env.FNM_DIR || path.join(data, "fnm"), "node-versions/*/installation/bin"],
    [path.join(home, ".fnm"), "node-versions/*/installation/bin"],
    [path.join(home, "Library/Application Support/fnm"), "node-versions/*/installation/bin"],
    [env.VOLTA_HOME || path.join(home, ".volta"), "tools/image/node/*/bin"],
    [env.MISE_DATA_DIR || path.join(data, "mise"), "installs/node/*/bin"],
    [env.ASDF_DATA_DIR || path.join(home, ".asdf"), "installs/nodejs/*/bin"],
    [env.N_PREFIX || "/usr/local", "n/versions/node/*/bin"],
    [env.NVM_HOME || path.join(env.APPDATA || home, "nvm"), "*"],
    [path.join(env.APPDATA || home, "fnm"), "node-versions/*/installation"],
    [path.join(env.LOCALAPPDATA || home, "Volta"), "tools/image/node/*"],
  ]
  const versions = managed.reduce((found, place) => found.concat(expand(place[0], place[1].split("/"))), [])
  return own.concat(onPath, usual, versions).map((folder) => path.join(folder, exe))
}

/** The folders that match; `*` stands for a folder named for a version. */
function expand(base, parts) {
  const star = parts.indexOf("*")
  const above = path.join.apply(path, [base].concat(parts.slice(0, star)))
  return list(above)
    .filter((name) => isEnough(name))
    .sort((a, b) => compare(numbers(b), numbers(a)))
    .map((name) => path.join.apply(path, [above, name].concat(parts.slice(star + 1))))
}

function list(folder) {
  try {
    return fs.readdirSync(folder)
  } catch (error) {
    return []
  }
}

/** npm puts node_modules/.bin of the current folder on PATH; it is not the owner who fills it. */
function isFromHere(folder) {
  const rest = path.relative(process.cwd(), folder)
  return rest !== "" && !path.isAbsolute(rest) && rest.split(path.sep)[0] !== ".." && /(^|[\\/])node_modules([\\/]|$)/.test(rest)
}

/** Becomes `node` where the system can, else waits for it, hands signals on and ends as it ended. */
function runWith(node) {
  const argv = [__filename].concat(args)
  if (typeof process.execve === "function" && process.platform !== "win32") {
    // It warns that it is experimental; whoever reads that can do nothing about it.
    process.emitWarning = () => {}
    process.execve(node, [node].concat(argv), process.env)
  }
  const child = require("child_process").spawn(node, argv, { stdio: "inherit" })
  const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"]
  signals.forEach((signal) => {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the child as well, and a second one means "leave at once".
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal)
    })
  })
  child.on("error", (error) => {
    process.stderr.write(node + ": " + error.message + "\n")
    process.exitCode = 1
  })
  child.on("exit", (code, signal) => {
    if (!signal) return process.exit(code)
    signals.forEach((name) => process.removeAllListeners(name))
    process.kill(process.pid, signal)
  })
}

function isEnough(version) {
  return compare(numbers(version), floor) >= 0
}

function numbers(version) {
  const found = /(\d+)\.(\d+)\.(\d+)/.exec(version)
  return found ? found.slice(1).map(Number) : [0, 0, 0]
}

function compare(a, b) {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2]
}

/** The only texts outside src/text: nothing there can be loaded by a Node this old. */
function noNodeText() {
  const mine = "Node " + process.versions.node
  const wanted = floor.join(".")
  const command = "npx -y -p node@" + floor[0] + " -p chela-agent chela " + (args.join(" ") || "--help")
  return isChinese()
    ? "当前是 " + mine + "，Chela 需要 Node " + wanted + " 或更高版本，本机没有找到。请输入：" + command
    : "This is " + mine + "; Chela needs Node " + wanted + " or newer and found none on this machine. Type: " + command
}

function notInstalledText() {
  return isChinese() ? "依赖尚未安装。请先在项目文件夹里运行：npm ci" : "The dependencies are not installed yet. First run, in the project's folder: npm ci"
}

function isChinese() {
  const env = process.env
  const at = args.indexOf("--lang")
  const given = at >= 0 ? args[at + 1] : (args.find((arg) => arg.indexOf("--lang=") === 0) || "").slice(7)
  return /^zh/i.test(given || env.CHELA_LANG || env.LC_ALL || env.LC_MESSAGES || env.LANG || "")
}
