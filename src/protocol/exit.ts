// Exit codes of the command line; fixed, because scripts depend on them.

export const exitCode = {
  done: 0,
  /** Something failed; what and why was printed. */
  failed: 1,
  /** The command line itself was wrong. */
  usage: 2,
  /** The run waits for an answer of the owner. */
  waiting: 3,
  /** Stopped by the owner. */
  stopped: 130,
} as const

export type ExitCode = (typeof exitCode)[keyof typeof exitCode]
