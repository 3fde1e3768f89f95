// The price of a model as people write it.
import { AppError } from "../base/error.ts"

/** `in,out` in US dollars per million tokens, or `free`. Throws `option-invalid`. */
export function parsePrice(text: string | undefined): { input: number; output: number } | null {
  if (text === undefined || text === "") return null
  if (text === "free") return { input: 0, output: 0 }
  const [input = NaN, output = NaN, ...rest] = text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)))
  if (!(input >= 0) || !(output >= 0) || rest.length > 0) throw new AppError("option-invalid", { option: "CHELA_PRICE", value: text, expected: "in,out | free" })
  return { input, output }
}
