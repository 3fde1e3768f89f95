// The model that the environment of this terminal names: it goes with the task, so that a host which is already running
// for another terminal uses it too.
import type { NewRun } from "../protocol/api.ts"
import { parsePrice } from "../protocol/price.ts"

/** Empty if the environment names no endpoint. Throws `option-invalid` for a price that cannot be meant. */
export function routeOf(env: Readonly<Record<string, string | undefined>>): Pick<NewRun, "route" | "apiKey"> {
  const { CHELA_BASE_URL: baseUrl, CHELA_MODEL: model, CHELA_API_KEY: apiKey, CHELA_PRICE: price } = env
  if (!baseUrl || !model) return {}
  return { route: { kind: "endpoint", baseUrl, model, price: parsePrice(price) }, ...(apiKey !== undefined && { apiKey }) }
}
