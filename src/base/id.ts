// Ids that a person can read aloud and type: no vowels (no words by accident), no look-alikes.

import { sha256 } from "./hash.ts"

/** That many random bytes; the machine's in production. */
export type RandomBytes = (length: number) => Uint8Array

const letters = "23456789bcdfghjkmnpqrstvwxz"

/** `prefix-` and `length` random letters (4.75 bits each). */
export function newId(prefix: string, random: RandomBytes, length = 8): string {
  let id = ""
  while (id.length < length) {
    // Bytes beyond the last whole multiple would make some letters likelier than others.
    for (const byte of random(length * 2)) {
      if (byte < 243 && id.length < length) id += letters[byte % letters.length]
    }
  }
  return `${prefix}-${id}`
}

/** The same id for the same seed. */
export function idFrom(prefix: string, seed: string): string {
  const digest = Buffer.from(sha256(seed), "hex")
  return newId(prefix, (length) => digest.subarray(0, length))
}

/** The machine's randomness. */
export const systemRandom: RandomBytes = (length) => crypto.getRandomValues(new Uint8Array(length))
