// Text that a terminal can be given: whatever a model, a command or a page wrote must not move the cursor, recolour what
// stands there or reorder it.

/** Escape sequences of terminals: CSI, OSC and the short ones. */
const escapes = /\u001B(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001B]*(?:\u0007|\u001B\\)?|[PX^_][^\u001B]*(?:\u001B\\)?|[ -/]*[0-~])/g
/** Controls but tab and newline, C1 controls, and characters that reorder or hide text. */
const controls = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u200B-\u200F\u202A-\u202E\u2060-\u2069\uFEFF]/g

/** The text without what only a terminal would obey. A carriage return starts a new line. */
export function printable(text: string): string {
  return text.replace(escapes, "").replace(/\r\n?/g, "\n").replace(controls, "")
}

/** The first line, cut to a number of terminal columns. */
export function oneLine(text: string, columns: number): string {
  const line = printable(text).replace(/\s+/g, " ").trim()
  let width = 0
  let cut = ""
  for (const character of line) {
    width += columnsOf(character)
    if (width > columns) return `${cut.slice(0, Math.max(0, cut.length - 1))}…`
    cut += character
  }
  return cut
}

/** Columns that a text takes on a terminal. */
export function displayWidth(text: string): number {
  let width = 0
  for (const character of text) width += columnsOf(character)
  return width
}

/** East Asian wide characters and emoji take two columns, marks none. */
function columnsOf(character: string): number {
  if (/\p{Mark}/u.test(character)) return 0
  return /[\u1100-\u115F\u2E80-\u303E\u3041-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6]|\p{Emoji_Presentation}|[\u{20000}-\u{3FFFD}]/u.test(character) ? 2 : 1
}
