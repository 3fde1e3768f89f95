// Numbers as people read them.

/** `12 ms`, `3.4 s`, `2 min 5 s`, `3 h 12 min`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 60) return `${minutes} min ${Math.round((ms % 60_000) / 1000)} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** Money from millionths of a dollar; `≤` where the price was not known. */
export function amount(micros: number, atMost: boolean): string {
  const dollars = micros / 1_000_000
  const digits = dollars === 0 || dollars >= 1 ? 2 : dollars >= 0.01 ? 3 : 5
  return `${atMost ? "≤ " : ""}$${dollars.toFixed(digits)}`
}

/** `2026-11-24 14:05` in the zone of this computer. */
export function moment(ms: number): string {
  const date = new Date(ms)
  const two = (value: number): string => String(value).padStart(2, "0")
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`
}
