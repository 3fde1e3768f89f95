// What a command prints: its first and last bytes are kept, everything is counted, and whoever watches is told in pieces.
// A character is never cut in two; bytes that are no text become the replacement character.

export interface KeptOutput {
  readonly head: string
  readonly tail: string
  readonly outputBytes: number
  readonly droppedBytes: number
}

/** Head and tail of a stream of any length in a fixed amount of memory. */
export class HeadAndTail {
  readonly #keep: number
  #head: Buffer = Buffer.alloc(0)
  /** The newest bytes, at most twice `keep` between two trims. */
  #tail: Buffer[] = []
  #tailBytes = 0
  #total = 0

  constructor(keepBytes: number) {
    this.#keep = keepBytes
  }

  get total(): number {
    return this.#total
  }

  push(chunk: Buffer): void {
    this.#total += chunk.length
    const room = this.#keep - this.#head.length
    if (room > 0) this.#head = Buffer.concat([this.#head, chunk.subarray(0, room)])
    const rest = room > 0 ? chunk.subarray(room) : chunk
    if (rest.length === 0) return
    this.#tail.push(rest)
    this.#tailBytes += rest.length
    if (this.#tailBytes > this.#keep * 2 + 65_536) this.#trim()
  }

  finish(): KeptOutput {
    this.#trim()
    const tail = this.#tail[0] ?? Buffer.alloc(0)
    const dropped = this.#total - this.#head.length - tail.length
    if (dropped === 0) {
      const all = Buffer.concat([this.#head, tail])
      const cut = wholeCharacters(all, this.#head.length)
      return { head: text(all.subarray(0, cut)), tail: text(all.subarray(cut)), outputBytes: this.#total, droppedBytes: 0 }
    }
    const head = this.#head.subarray(0, wholeCharacters(this.#head, this.#head.length))
    const kept = tail.subarray(firstCharacter(tail))
    return { head: text(head), tail: text(kept), outputBytes: this.#total, droppedBytes: this.#total - head.length - kept.length }
  }

  #trim(): void {
    const all = Buffer.concat(this.#tail)
    // A copy, so that the large chunks it was cut from can be freed.
    const kept = Buffer.from(all.subarray(Math.max(0, all.length - this.#keep)))
    this.#tail = [kept]
    this.#tailBytes = kept.length
  }
}

/** The largest length up to `end` that does not cut a UTF-8 character. */
function wholeCharacters(bytes: Buffer, end: number): number {
  for (let back = 1; back <= 3 && back <= end; back++) {
    const byte = bytes[end - back] ?? 0
    if (byte < 0x80) return end
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return length > back ? end - back : end
    }
  }
  return end
}

/** Where the first character begins that is there whole. */
function firstCharacter(bytes: Buffer): number {
  let at = 0
  while (at < 3 && at < bytes.length && ((bytes[at] ?? 0) & 0xc0) === 0x80) at++
  return at
}

function text(bytes: Buffer): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
}

/** Pieces for whoever watches: at most one every `everyMs`, each of at most `mostBytes`; what is more is only counted. */
export class LivePieces {
  readonly #send: (text: string) => void
  readonly #everyMs: number
  readonly #mostBytes: number
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  #waiting: Buffer[] = []
  #bytes = 0
  #timer: NodeJS.Timeout | null = null

  constructor(send: (text: string) => void, everyMs: number = 50, mostBytes: number = 16_384) {
    this.#send = send
    this.#everyMs = everyMs
    this.#mostBytes = mostBytes
  }

  push(chunk: Buffer): void {
    if (this.#bytes < this.#mostBytes) {
      const taken = chunk.subarray(0, this.#mostBytes - this.#bytes)
      this.#waiting.push(taken)
      this.#bytes += taken.length
    }
    this.#timer ??= setTimeout(() => this.flush(), this.#everyMs)
  }

  flush(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#bytes === 0) return
    const piece = this.#decoder.decode(Buffer.concat(this.#waiting), { stream: true })
    this.#waiting = []
    this.#bytes = 0
    if (piece !== "") this.#send(piece)
  }
}
