// A measured figure, and the few ways in which figures are made from samples.

export interface Figure {
  readonly what: string
  readonly value: number
  readonly unit: string
  readonly goal?: string
  /** What it is to be compared with, measured in the same run or an anchor from the documentation. */
  readonly beside?: string
}

export type Case = () => Promise<readonly Figure[]>

export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? NaN
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5)
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => unknown): Promise<number> {
  const from = performance.now()
  await work()
  return performance.now() - from
}
