// A content-addressed store in files: a value is written once under its SHA-256, synced and renamed before anyone
// can name it, so a row that names a hash never precedes its bytes.
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises"
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { sha256 } from "../base/hash.ts"

export interface Blobs {
  /** Keeps `data` and resolves once it is on disk. */
  put(hash: string, data: string): Promise<void>
  /** Undefined if it is not there or its bytes are damaged. */
  get(hash: string): Promise<string | undefined>
  remove(hash: string): Promise<void>
}

export function fileBlobs(folder: string): Blobs {
  const place = (hash: string): string => join(folder, hash.slice(0, 2), hash)
  return {
    async put(hash, data) {
      const path = place(hash)
      if (await exists(path)) return
      await mkdir(join(folder, hash.slice(0, 2)), { recursive: true, mode: 0o700 })
      const temporary = `${path}.${randomUUID()}`
      try {
        const file = await open(temporary, "wx", 0o600)
        try {
          await file.writeFile(data)
          await file.sync()
        } finally {
          await file.close()
        }
        await rename(temporary, path)
        await syncFolder(join(folder, hash.slice(0, 2)))
      } catch (cause) {
        await rm(temporary, { force: true })
        throw cause
      }
    },
    async get(hash) {
      const data = await readFile(place(hash), "utf8").catch(() => undefined)
      return data !== undefined && sha256(data) === hash ? data : undefined
    },
    async remove(hash) {
      await rm(place(hash), { force: true })
    },
  }
}

/** For engines without a folder, such as one in memory. */
export function memoryBlobs(): Blobs {
  const values = new Map<string, string>()
  return {
    put: async (hash, data) => void values.set(hash, data),
    get: async (hash) => values.get(hash),
    remove: async (hash) => void values.delete(hash),
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
