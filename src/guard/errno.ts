// Errors of the file system: which one it was, and which failure of ours it is.
import { AppError, messageOf } from "../base/error.ts"

export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code)
}

/** What the owner is told when a command could not be run or its result not be kept. */
export function failureOf(error: unknown, workspace: string): AppError {
  if (error instanceof AppError) return error
  if (isErrno(error, "ENOSPC", "EDQUOT")) return new AppError("disk-full", { path: workspace }, { cause: error })
  if (isErrno(error, "EROFS")) return new AppError("workspace-read-only", { path: workspace }, { cause: error })
  return new AppError("sandbox-failed", { detail: messageOf(error).slice(0, 500) }, { cause: error })
}
